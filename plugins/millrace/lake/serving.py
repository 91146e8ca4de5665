"""Which version of a pipeline is served. One small commit to the table `serving` switches; another goes back."""

from __future__ import annotations

from datetime import UTC, datetime

from jobs.errors import MillraceError
from jobs.pipeline import Pipeline
from jobs.version import fingerprint
from millrace.environment import Environment
from millrace.lake.serving_table import Serving, commit_serving, serving_history

__all__ = [
    "Serving",
    "begin_serving",
    "current_serving",
    "preferred_versions",
    "restored",
    "rollback",
    "served_version",
    "serving_history",
    "switch",
]


def current_serving(environment: Environment, pipeline: Pipeline) -> Serving | None:
    """What is in force; None before the first version is served."""
    history = serving_history(environment, pipeline)
    return history[-1] if history else None


def preferred_versions(environment: Environment, pipeline: Pipeline) -> tuple[str, ...]:
    """The versions that serve the pipeline, in order of preference; that of the code where none is served yet."""
    now = current_serving(environment, pipeline)
    return now.versions if now else (fingerprint(pipeline),)


def served_version(environment: Environment, pipeline: Pipeline) -> str:
    """The version whose speed rows the view shows; that of the code where none is served yet."""
    return preferred_versions(environment, pipeline)[0]


def begin_serving(environment: Environment, pipeline: Pipeline, version: str, by: str) -> Serving:
    """Serves the version where none is served yet; returns what is in force, of whatever version it is."""

    def first(history: list[Serving]) -> Serving | None:
        return None if history else _next(pipeline, history, (version,), by, "the first version")

    return current_serving(environment, pipeline) or commit_serving(environment, pipeline, first)


def switch(
    environment: Environment, pipeline: Pipeline, version: str, by: str, reason: str, *, expected: str | None = None
) -> Serving:
    """Serves the version from now on, in one commit; what it has not published stays served by those before it.

    Nothing changes where it is served already, so it may be called again. Checks nothing about the version: see
    `millrace.lake.readiness`. With `expected`, raises MillraceError where another version is served by now.
    """

    def in_front(history: list[Serving]) -> Serving | None:
        now = history[-1] if history else None
        if now and now.version == version:
            return None
        _check_expected(pipeline, now, expected)
        others = [each for each in now.versions if each != version] if now else []
        return _next(pipeline, history, (version, *others), by, reason, now.number if now else None)

    return commit_serving(environment, pipeline, in_front)


def rollback(
    environment: Environment, pipeline: Pipeline, by: str, reason: str, *, expected: str | None = None
) -> Serving:
    """Restores the order of preference of before the last switch, in one commit; a second one, that of before it.

    What only the version that was rolled back has published stays served by it until another has published it.
    Raises MillraceError where nothing was served before, and with `expected` where another version is served by now:
    give it wherever a rollback may be called again.
    """

    def back(history: list[Serving]) -> Serving:
        now = history[-1] if history else None
        _check_expected(pipeline, now, expected)
        before = restored(history)
        if now is None or before is None:
            served = f"version {now.version} is served and none was before it" if now else "no version is served yet"
            raise MillraceError(
                f"pipeline {pipeline.name!r}: {served}, so there is nothing to roll back to;"
                f" `millrace switch {pipeline.name} VERSION` serves another"
            )
        kept = [each for each in now.versions if each not in before.versions]
        return _next(pipeline, history, (*before.versions, *kept), by, reason, before.previous)

    return commit_serving(environment, pipeline, back)


def restored(history: list[Serving]) -> Serving | None:
    """The row whose order a rollback would restore."""
    previous = history[-1].previous if history else None
    return next((row for row in history if row.number == previous), None)


def _check_expected(pipeline: Pipeline, now: Serving | None, expected: str | None) -> None:
    if now and expected and now.version != expected:
        raise MillraceError(
            f"pipeline {pipeline.name!r}: version {now.version} is served since {now.since:%Y-%m-%d %H:%M:%S} UTC (by"
            f" {now.by}), not {expected} any more; look at it with `millrace versions {pipeline.name}` and decide again"
        )


def _next(
    pipeline: Pipeline,
    history: list[Serving],
    versions: tuple[str, ...],
    by: str,
    reason: str,
    previous: int | None = None,
) -> Serving:
    number = history[-1].number + 1 if history else 1
    return Serving(pipeline.name, versions, datetime.now(UTC), by, reason, number, previous)
