"""Microsoft's definitions of Azure, which stay outside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from millrace.home import PROJECT_ROOT


def specs_folder(part: str) -> Path:
    """`part` of the folder in MILLRACE_AZURE_SPECS, by default shared/azure-specs beside the checkout.

    Skips the test, and says so, where it is absent.
    """
    folder = Path(os.environ.get("MILLRACE_AZURE_SPECS") or PROJECT_ROOT.parent / "shared" / "azure-specs") / part
    if not folder.is_dir():
        pytest.skip(f"Microsoft's definitions are not at {folder}; say where they are with MILLRACE_AZURE_SPECS")
    return folder
