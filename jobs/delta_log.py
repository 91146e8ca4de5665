"""What a Delta table's log tells without opening the table: https://github.com/delta-io/delta/blob/master/PROTOCOL.md"""

from __future__ import annotations

import json
from typing import Optional

from jobs.errors import MillraceError
from jobs.small_files import SmallFiles

__all__ = ["last_transaction"]


def last_transaction(files: SmallFiles, uri: str, application: str) -> Optional[int]:
    """The number that `application` (for a streaming query: its id) committed last; None where it committed nothing.

    Raises MillraceError where commits that could tell were cleaned out of the log.
    """
    names = sorted((name for name in files.names(f"{uri}/_delta_log") if _is_commit(name)), reverse=True)
    for name in names:
        numbers = _transactions(files.read(f"{uri}/_delta_log/{name}") or "", application)
        if numbers is not None:
            return numbers
    if names and int(names[-1][:20]) > 0:
        raise MillraceError(
            f"{uri}: its log goes back to version {int(names[-1][:20])} only, and does not tell whether the last"
            " micro-batch that was planned has been written; restore the log, or start a new version"
        )
    return None


def _transactions(commit: str, application: str) -> Optional[int]:
    for line in commit.splitlines():
        if '"txn"' in line:
            action = json.loads(line).get("txn") or {}
            if action.get("appId") == application:
                return int(action["version"])
    return None


def _is_commit(name: str) -> bool:
    return name.endswith(".json") and name[:-5].isdigit() and len(name) == 25
