"""The environment of this machine's jobs."""

from __future__ import annotations

import os

__all__ = ["inherited_environment"]

_INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "JAVA_HOME", "LD_LIBRARY_PATH")


def inherited_environment() -> dict[str, str]:
    """Little of Airflow's environment, which holds secrets, reaches a job."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}
