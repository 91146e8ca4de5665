"""What the cluster of the conformance tests runs: what HDInsight runs, or a test says so."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.conformance.software import PYTHON

__all__ = ["require_hdinsights_engine"]


def require_hdinsights_engine() -> None:
    """Spark 3.3 on Python 3.8. Skips the test where this machine has a later Python alone, and says so; CI must not."""
    told = "import sys, pyspark; print(*sys.version_info[:2], pyspark.__version__)"
    found = subprocess.run([str(PYTHON), "-c", told], text=True, capture_output=True, check=True).stdout.split()
    if found[:2] != ["3", "8"] and "CI" not in os.environ:
        pytest.skip(f"the cluster runs on Python {'.'.join(found[:2])}, HDInsight on 3.8, which is not on this machine")
    assert found[:2] == ["3", "8"]
    assert found[2].startswith("3.3.")
