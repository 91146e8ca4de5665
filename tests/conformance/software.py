"""What the cluster is made of. `python -m tests.conformance.software` fetches it, before the tests: none of them does.

Beside it: Spark 3.3 for Python 3.8, in `.venv-spark33`, and what the local stack has.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jobs.errors import MillraceError
from millrace.home import PROJECT_ROOT, Home
from millrace.stack.jar_lock import load_jar_set
from millrace.stack.jars import fetch_jar_set, jar_set_files

__all__ = ["PYTHON", "cluster_jars", "missing"]

PYTHON = PROJECT_ROOT / ".venv-spark33" / "bin" / "python"
_HERE, _SHIPPED = Path(__file__).parent, PROJECT_ROOT / "infra" / "local"
_SETS = {"livy": _HERE, "yarn": _HERE, "hdinsight": _SHIPPED}


def cluster_jars(name: str) -> list[Path]:
    """The jars of a set; raises MillraceError where they have not been fetched."""
    return jar_set_files(load_jar_set(name, _SETS[name]), Home.current().downloads)


def missing() -> str | None:
    """What is not on this machine, and the remedy."""
    if not PYTHON.exists():
        return f"{PYTHON.parents[1]} is not there: it needs Python 3.8; `make test` makes it"
    try:
        for name in _SETS:
            cluster_jars(name)
    except MillraceError:
        return f"the jars of {name!r} are not there; run `.venv/bin/python -m tests.conformance.software`"
    return None


def main() -> None:
    """Fetches the jars, checked against their lock files; those that are here stay."""
    with ThreadPoolExecutor(len(_SETS)) as pool:
        for files in pool.map(_fetch, _SETS):
            size_mb = sum(file.stat().st_size for file in files) / 1e6
            print(f"{files[0].parent}: {len(files)} jars, {size_mb:.0f} MB")


def _fetch(name: str) -> list[Path]:
    return fetch_jar_set(load_jar_set(name, _SETS[name]), Home.current().downloads)


if __name__ == "__main__":
    main()
