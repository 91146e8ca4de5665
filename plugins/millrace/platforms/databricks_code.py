"""What jobs have in volumes of Unity Catalog: their code, and the logs that clusters deliver."""

from __future__ import annotations

import hashlib
import io
from functools import partial
from pathlib import Path

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import AlreadyExists, NotFound
from databricks.sdk.service.jobs import Run

import jobs
from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.platforms.databricks_client import MissingError, Workspace
from millrace.platforms.databricks_wheel import WHEEL, wheel_of
from millrace.platforms.protocol import SparkJob

__all__ = ["delivered_log", "package_of", "uploaded_wheel"]

_LOG_BYTES = 2_000_000


def package_of(environment: Environment, job: SparkJob) -> bytes:
    """The package `jobs` that the job runs, as a zip: that of its version, or of here."""
    from millrace.lake.code import code_of, package_zip  # here: it loads the storage client

    if job.code is not None:
        return code_of(environment, job.code.pipeline, job.code.version)
    return package_zip(Path(jobs.__path__[0]))


def uploaded_wheel(workspace: Workspace, folder: str, package: bytes) -> str:
    """The path of the package's wheel, below a folder named after its content; uploaded where it is not there.

    Raises MillraceError where somebody has put something else there.
    """
    wheel = wheel_of(package)
    path = f"{folder}/{hashlib.sha256(wheel).hexdigest()[:16]}/{WHEEL}"
    size = workspace.call(f"upload {path}", lambda client: _put(client, path, wheel))
    if size != len(wheel):
        raise MillraceError(f"{path}: it has {size} bytes, not {len(wheel)}; delete it and try again")
    return path


def delivered_log(workspace: Workspace, folder: str | None, run: Run) -> list[str]:
    """The lines that the run's driver has written, as its cluster has delivered them: every five minutes."""
    instance = next((task.cluster_instance for task in run.tasks or []), None)
    if folder is None or instance is None or instance.cluster_id is None:
        return []
    lines: list[str] = []
    for stream in ("stdout", "stderr"):
        path = f"{folder}/{instance.cluster_id}/driver/{stream}"
        try:
            lines += workspace.call(f"read {path}", partial(_tail, path))
        except MissingError:  # not delivered yet
            continue
    return lines


def _put(client: WorkspaceClient, path: str, content: bytes) -> int:
    """The size of the file that is there then."""
    try:
        return int(client.files.get_metadata(path).content_length or 0)
    except NotFound:
        pass
    try:
        client.files.upload(path, io.BytesIO(content), overwrite=False)
    except AlreadyExists:  # another process was quicker
        return int(client.files.get_metadata(path).content_length or 0)
    return len(content)


def _tail(path: str, client: WorkspaceClient) -> list[str]:
    contents = client.files.download(path).contents
    if contents is None:
        return []
    with contents:
        text = contents.read().decode("utf-8", errors="replace")
    return text[-_LOG_BYTES:].splitlines()
