"""The pipelines: one folder each, with `pipeline.py` (data) and `transform.py` (one pure function)."""

from __future__ import annotations

import importlib
import pkgutil
from typing import List

from jobs.alerts_topic import Alerts
from jobs.errors import UsageError
from jobs.pipeline import Pipeline

__all__ = ["declared_alerts", "find_pipeline", "pipeline_names", "pipelines_with_alerts"]


def pipeline_names() -> List[str]:
    """Names of all declared pipelines, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def find_pipeline(name: str) -> Pipeline:
    """The pipeline declared as `jobs/pipelines/<name>/pipeline.py:<name>`.

    Raises UsageError when there is no such folder, or it declares no pipeline of this name.
    """
    if name not in pipeline_names():
        raise UsageError(f"pipeline {name!r} has no folder in jobs/pipelines; known: {', '.join(pipeline_names())}")
    module = importlib.import_module(f"jobs.pipelines.{name}.pipeline")
    pipeline = getattr(module, name, None)
    if not isinstance(pipeline, Pipeline):
        raise UsageError(f"jobs/pipelines/{name}/pipeline.py declares no {name!r}; write `{name} = Pipeline(...)`")
    return pipeline


def declared_alerts(pipeline: Pipeline) -> Alerts:
    """The pipeline's alerts. Raises UsageError where it declares none."""
    if pipeline.alerts is None:
        raise UsageError(f"pipeline {pipeline.name!r} declares no alerts; add `alerts=Alerts(…)` to its declaration")
    return pipeline.alerts


def pipelines_with_alerts() -> List[Pipeline]:
    """The pipelines that declare alerts, by name."""
    return [pipeline for pipeline in map(find_pipeline, pipeline_names()) if pipeline.alerts]
