"""What a Delta table's log tells without opening the table: https://github.com/delta-io/delta/blob/master/PROTOCOL.md"""

from __future__ import annotations

import json
from typing import Optional

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lake_files import LakeFiles
from jobs.small_files import SmallFiles

__all__ = ["committed_transaction", "last_transaction"]


def last_transaction(spark: SparkSession, uri: str, application: str) -> Optional[int]:
    """The number that `application` (for a streaming query: its id) committed last; None where it committed nothing.

    The newest checkpoint of the log carries every application's last one, so only commits after it are read besides.
    """
    files = LakeFiles(spark)
    newest = files.read(f"{uri}/_delta_log/_last_checkpoint")
    version = json.loads(newest)["version"] if newest else -1
    number = committed_transaction(files, uri, application, above=version)
    if number is not None or version < 0:
        return number
    actions = spark.read.parquet(f"{uri}/_delta_log/{version:020}.checkpoint*.parquet")
    found = actions.where(F.col("txn.appId") == application).agg(F.max("txn.version")).collect()[0][0]
    return None if found is None else int(found)


def committed_transaction(files: SmallFiles, uri: str, application: str, above: int = -1) -> Optional[int]:
    """The same, of the commits that the log has above a version."""
    names = [name for name in files.names(f"{uri}/_delta_log") if _is_commit(name) and int(name[:20]) > above]
    for name in sorted(names, reverse=True):
        number = _transactions(files.read(f"{uri}/_delta_log/{name}") or "", application)
        if number is not None:
            return number
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
