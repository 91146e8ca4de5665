"""The DAG that keeps the lake from growing without end."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, get_current_context, task

from jobs.errors import UsageError
from jobs.pipelines import pipeline_names
from jobs.topics import TOPICS
from millrace.builders.supervised import START
from millrace.look_back import REPAIR_WITHIN
from millrace.tasks.maintain import delete_replaced_files, remove_old_speed_rows

__all__ = ["maintain"]

_DAY = timedelta(days=1)
_DOC = """
Removes, for every pipeline, the speed layer's rows of intervals that batch has answered for long: those that ended more
than {keep} days ago, and that every version with rows of them has published, not as *partial*. No answer changes by it.
What is no longer to be had of such an interval: a repair is published without being compared with the speed layer, and
`millrace explain` no longer tells what that had answered; both say so, and when the rows were removed.

Streams compact their own tables: many small files become few, without a change of a row. The files that were replaced,
and those of removed rows, are deleted by a later run: of the speed layer a day later, of the raw archive 30 days later,
so that `millrace explain` finds what a run has read.

Running this DAG again, or twice at once, changes nothing. Removing speed rows of one pipeline by hand:
`millrace remove-speed-rows`.
"""


def maintain(
    *, schedule: str | None = "0 5 * * *", keep_speed_rows: timedelta = 30 * _DAY, environment: str | None = None
) -> DAG:
    """The DAG `maintain`. `schedule` is a cron expression in UTC; `environment` is one of `infra/environments`.

    Raises UsageError where speed rows would be kept for less than the nightly runs' look-back by default: what these
    repair is compared with them.
    """
    _check(keep_speed_rows)
    days = keep_speed_rows // _DAY
    dag = DAG(
        dag_id="maintain",
        description="Removes what nothing needs any more from the lake.",
        doc_md=_DOC.format(keep=days),
        schedule=schedule,
        start_date=START,
        catchup=False,
        max_active_runs=1,
        params=_params(days),
        tags=["millrace"],
        default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    )
    with dag:

        @task(map_index_template="{{ task.op_kwargs['pipeline'] }}")
        def remove_speed_rows(pipeline: str) -> list[str]:
            params = get_current_context()["params"]
            keep = timedelta(days=params["keep_days"])
            return remove_old_speed_rows(pipeline, keep, environment, dry_run=params["dry_run"])

        @task(map_index_template="{{ task.op_kwargs['topic'] }}")
        def delete_files(topic: str) -> int:
            return 0 if get_current_context()["params"]["dry_run"] else delete_replaced_files(topic, environment)

        remove_speed_rows.expand(pipeline=pipeline_names())
        delete_files.expand(topic=sorted(TOPICS))
    return dag


def _check(keep_speed_rows: timedelta) -> None:
    if keep_speed_rows < REPAIR_WITHIN:
        raise UsageError(
            f"keep_speed_rows is {keep_speed_rows}; nightly runs repair intervals of the last {REPAIR_WITHIN.days} days"
            " and compare them with the speed layer's rows: keep these for as long, or longer"
        )


def _params(days: int) -> dict[str, Param]:
    keep = "Speed rows of intervals that ended more than so many days ago are removed, once these are published."
    least = REPAIR_WITHIN.days
    return {
        "keep_days": Param(days, type="integer", minimum=least, title="Days to keep speed rows", description=keep),
        "dry_run": Param(False, type="boolean", title="Dry run", description="Only say what would be removed."),
    }
