"""Which intervals each version has rows of in a pipeline's speed log, from the Delta log wherever it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.lake import Lake
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.tables import open_table

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["SpeedLog"]

_COLUMNS = ("path", "partition._interval", "min._version", "max._version", "max._batch_id")
# Statistics hold so much of a text.
_CUT = 32


class SpeedLog:
    """The speed log of a pipeline, looked at again and again.

    A file is the rows of one micro-batch and interval, so its statistics tell version and micro-batch. One that they do
    not tell of (a compacted one may be of several versions) is read, two columns of it. A later look reads of the Delta
    log what is new, and of the files those that are new.
    """

    def __init__(self, environment: Environment, pipeline: Pipeline) -> None:
        self._environment = environment
        self._uri = Lake(environment.lake).speed(pipeline.name)
        self._table: DeltaTable | None = None
        self._files: dict[str, tuple[str, dict[str, int]]] = {}

    def intervals(self) -> dict[str, dict[str, int]]:
        """Per version with rows: the intervals (their ids) and the newest micro-batch of each, now."""
        self._look()
        found: dict[str, dict[str, int]] = {}
        for interval, newest in self._files.values():
            for version, batch in newest.items():
                mine = found.setdefault(version, {})
                mine[interval] = max(batch, mine.get(interval, batch))
        return found

    def _look(self) -> None:
        import pyarrow as pa

        if self._table is None:
            self._table = open_table(self._environment, self._uri)
        else:
            self._table.update_incremental()
        if self._table is None:
            return
        actions = pa.table(self._table.get_add_actions(flatten=True))
        files = actions.select([name for name in _COLUMNS if name in actions.column_names]).to_pylist()
        self._files = {file["path"]: self._files.get(file["path"]) or self._describe(file) for file in files}

    def _describe(self, file: dict[str, Any]) -> tuple[str, dict[str, int]]:
        low, high, batch = (file.get(name) for name in ("min._version", "max._version", "max._batch_id"))
        if low is None or low != high or len(low) >= _CUT or batch is None:
            return file["partition._interval"], self._read(file["path"])
        return file["partition._interval"], {low: batch}

    def _read(self, path: str) -> dict[str, int]:
        """The newest micro-batch of each version in the file."""
        import pyarrow.parquet as pq
        from deltalake.fs import DeltaStorageHandler
        from pyarrow import fs

        files = fs.PyFileSystem(DeltaStorageHandler(self._uri, self._environment.delta_options()))
        with files.open_input_file(path) as opened:
            rows = pq.ParquetFile(opened).read(columns=["_version", "_batch_id"])
        newest = rows.group_by("_version").aggregate([("_batch_id", "max")])
        return dict(zip(newest["_version"].to_pylist(), newest["_batch_id_max"].to_pylist(), strict=True))
