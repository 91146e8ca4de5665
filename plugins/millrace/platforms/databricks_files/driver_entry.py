"""What runs on a Databricks cluster: the driver, called with the parameters of a Python wheel task.

It travels in the wheel beside `jobs`, of whatever version that is: standard library only, Python 3.8 and newer. The
first two parameters, the job's owner and the submission's name, are for the platform; then come the driver's arguments.
"""

from __future__ import annotations

import sys
import traceback


class DriverError(Exception):
    """The driver's exit code, which Databricks has no other place for: the run's output begins with this text."""


def main() -> None:
    """Raises DriverError where the exit code is not 0; a task must not call sys.exit."""
    code, reason = _run(sys.argv[3:])
    if code:
        raise DriverError(f"millrace: the driver ended with exit code {code}{reason}")


def _run(arguments: list[str]) -> tuple[int, str]:
    try:
        from jobs.driver import main as driver

        return driver(arguments), ""
    except SystemExit as ended:  # wrong arguments
        return (ended.code if isinstance(ended.code, int) else 1), ""
    except Exception as error:  # noqa: BLE001 - as an uncaught exception ends a process
        traceback.print_exc()
        return 1, f": {type(error).__name__}: {str(error)[:2000]}"
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
