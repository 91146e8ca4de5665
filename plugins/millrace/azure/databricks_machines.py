"""The virtual machines that Databricks keeps running for an environment's streams: no template has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from jobs.errors import MillraceError
from jobs.pipelines import pipeline_names, pipelines_with_alerts
from jobs.topics import TOPICS
from millrace.azure.arm import Resource
from millrace.azure.costs import Paid, paid
from millrace.azure.price_list import machine
from millrace.environment import environment_file
from millrace.platforms.databricks_settings import DatabricksSettings

__all__ = ["all_paid", "stream_machines"]


def all_paid(resources: Iterable[Resource], environment: str | None) -> list[Paid]:
    """What is paid by the hour: of the template's `resources` and, where Databricks is among them, for its streams."""
    every = list(resources)
    has_workspace = any(one.type == "Microsoft.Databricks/workspaces" for one in every)
    return [*paid(every), *(stream_machines(environment) if has_workspace and environment else [])]


def stream_machines(environment: str, folder: Path | None = None) -> list[Paid]:
    """A driver and its workers for each declared stream, by the sizes in the environment's file, which may lack much
    yet. Empty where there is no such file, or a pool's id says what the machines are.
    """
    try:
        table = environment_file(environment, **({"folder": folder} if folder else {})).table("databricks")
        workers = table.values.get("workers", DatabricksSettings.workers)
        size = table.optional_text("node_type") or DatabricksSettings.node_type
        driver = table.optional_text("driver_node_type") or size
        if table.optional_text("pool") or not isinstance(workers, int):
            return []
    except MillraceError:  # told by the first task that needs the environment
        return []
    return list(_machines(driver, size, workers))


def _machines(driver: str, size: str, workers: int) -> Iterator[Paid]:
    kinds = {"archives": len(TOPICS), "speed layers": len(pipeline_names()), "alerts": len(pipelines_with_alerts())}
    for kind, jobs in kinds.items():
        for role, count, kept in (("driver", jobs, driver), ("worker", jobs * workers, size)):
            if count:
                yield Paid(f"Databricks {kind} {role}", count, kept, machine(kept))
