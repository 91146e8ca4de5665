"""The serving view as Spark SQL reads it: asked by a driver of its own, and compared with the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from millrace.platforms.local import Launch, LocalPlatform, local_platform
from millrace.platforms.local_folder import JobFolder
from millrace.platforms.protocol import JobState, SparkJob
from tests.end_to_end.topic_oracle import view_rows
from tests.faults import spark_view
from tests.faults.oracle import check_rows
from tests.faults.reader import Rows
from tests.faults.stack import FaultStack
from tests.faults.waiting import await_true

__all__ = ["check_spark_view", "view_in_spark"]

_ABOUT = ["_interval", "_layer", "_partial", "_version"]


def view_in_spark(stack: FaultStack, folder: Path) -> pa.Table:
    """What a driver with the settings of all others reads."""
    platform = LocalPlatform(folder / "jobs", _launch(stack))
    answer = folder / "answer"
    running = platform.submit(SparkJob("view", (stack.environment.lake, answer.as_uri()), "faults"))
    try:
        await_true("the view in Spark SQL", lambda: platform.state(running.id).state is not JobState.RUNNING)
    finally:
        platform.cancel(running.id)
    assert platform.state(running.id).state is JobState.SUCCEEDED, "\n".join(platform.logs(running.id, 40))
    return pq.read_table(answer)


def check_spark_view(found: pa.Table, read: pa.Table, expected: Rows) -> int:
    """How many rows it has; fails unless they are the oracle's, and each interval is answered as `read` (the view
    without Spark) has it: by the same layer and version, and whether it is partial."""
    check_rows("the view in Spark SQL", view_rows(found), expected)
    in_spark, without = (set(map(tuple, _answers(view))) for view in (found, read))
    assert in_spark == without, f"answered otherwise in Spark SQL: {sorted(in_spark ^ without)[:6]}"
    return found.num_rows


def _answers(view: pa.Table) -> list[list[object]]:
    return [list(row.values()) for row in view.select(_ABOUT).group_by(_ABOUT).aggregate([]).to_pylist()]


def _launch(stack: FaultStack) -> Launch:
    """As for any driver, but for the script that it runs."""
    launch = local_platform(stack.environment, stack.home).launch

    def with_script(job: SparkJob, folder: JobFolder) -> tuple[list[str], Mapping[str, str]]:
        command, environment = launch(job, folder)
        script = next(place for place, argument in enumerate(command) if argument.endswith("jobs/driver.py"))
        return [*command[:script], spark_view.__file__, *command[script + 1 :]], environment

    return with_script
