"""Where everything lies on the lake. `root` is a URI such as `abfs://container@account.dfs.core.windows.net/folder`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "RAW_VERSION",
    "Lake",
    "alerts_query",
    "archive_query",
    "batch_query",
    "redecode_query",
    "speed_query",
    "speed_stream",
    "upgrade_query",
]

# The archive's checkpoint holds offsets only, so it outlives every change of a decoder.
RAW_VERSION = "1"


def archive_query(topic: str) -> str:
    """Name of the query that archives a topic: also its DAG id, its lock and its progress folder."""
    return f"archive__{topic}"


def speed_query(pipeline: str) -> str:
    """Name of a pipeline's speed layer: its DAG id, and the folder of its versions' checkpoints."""
    return f"{pipeline}__speed"


def speed_stream(pipeline: str, version: str) -> str:
    """Name of the stream of one version: its job, its lock, its control and progress folders.

    Versions run beside each other, so each has its own.
    """
    return f"{speed_query(pipeline)}.{version}"


def alerts_query(pipeline: str) -> str:
    """Name of the query of a pipeline's alerts: also its DAG id, its lock and its progress folder.

    Its checkpoint holds offsets only and belongs to no version: beside the query, the topic that is read names it.
    """
    return f"{pipeline}__alerts"


def batch_query(pipeline: str) -> str:
    """Name of a pipeline's batch jobs."""
    return f"{pipeline}__batch"


def upgrade_query(pipeline: str) -> str:
    """Name of what brings a new version of a pipeline into service: also its DAG id."""
    return f"{pipeline}__upgrade"


def redecode_query(topic: str) -> str:
    """Name of a topic's redecodes: also their lock and the folder of their results."""
    return f"redecode__{topic}"


@dataclass(frozen=True)
class Lake:
    """Paths below the lake's root, as URIs. With an empty root: paths relative to it."""

    root: str

    @property
    def published(self) -> str:
        return self._join("published")

    @property
    def serving(self) -> str:
        """Which version of each pipeline is served: every switch, the newest in force."""
        return self._join("serving")

    def raw(self, topic: str) -> str:
        return self._join("raw", topic)

    def ledger(self, topic: str) -> str:
        return self._join("ledger", topic)

    def accepted_losses(self, topic: str) -> str:
        """The folder of what people have accepted as lost: one file each."""
        return self._join("accepted_loss", topic)

    def speed(self, pipeline: str) -> str:
        return self._join("speed", pipeline)

    def speed_removed(self, pipeline: str, interval: str) -> str:
        """That the rows of an interval were removed from `speed/<pipeline>`, and when."""
        return self._join("speed_removed", pipeline, f"{interval}.json")

    def batch(self, pipeline: str) -> str:
        return self._join("batch", pipeline)

    def checkpoint(self, query: str, version: str) -> str:
        return self._join("checkpoints", query, version)

    def code(self, version: str) -> str:
        """The package `jobs` that computes this version, as a zip."""
        return self._join("code", f"{version}.zip")

    def declaration(self, version: str) -> str:
        """What the pipeline was declared as in this version: its key, windows, topic."""
        return self._join("code", f"{version}.json")

    def stream(self, query: str) -> str:
        """Which stream the task of a query's DAG supervises."""
        return self._join("control", query, "stream.json")

    def lock(self, query: str) -> str:
        return self._join("control", query, "lock.json")

    def stop_request(self, query: str) -> str:
        return self._join("control", query, "stop.json")

    def progress_folder(self, query: str) -> str:
        return self._join("progress", query)

    def progress(self, query: str, date: str) -> str:
        return self._join("progress", query, f"{date}.jsonl")

    def newest_result(self, pipeline: str, version: str, interval: str) -> str:
        """What the newest run of an interval under a version wrote, published or not."""
        return self._join("runs", pipeline, "newest", version, f"{interval}.json")

    def run_result(self, pipeline: str, run: str) -> str:
        return self._join("runs", pipeline, f"{run}.json")

    def _join(self, *parts: str) -> str:
        return "/".join(part for part in (self.root.rstrip("/"), *parts) if part)
