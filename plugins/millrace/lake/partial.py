"""Which published intervals are partial, and why, for people: said wherever what is published is shown."""

from __future__ import annotations

from collections.abc import Iterable

from jobs.pipeline import Pipeline
from millrace.lake.published import Publication

__all__ = ["partial_lines"]

_LISTED = 5


def partial_lines(pipeline: Pipeline, published: Iterable[Publication], listed: int = _LISTED) -> list[str]:
    """A line for each of the newest `listed` that are partial, with the reasons, and one that counts the others."""
    partial = sorted((each for each in published if each.partial), key=lambda each: each.interval, reverse=True)
    lines = [f"{pipeline.name} {each.interval.id} is partial: {'; '.join(each.partial)}" for each in partial[:listed]]
    if len(partial) > listed:
        older = f"{len(partial) - listed:,} more published intervals are partial"
        lines.append(f"{pipeline.name}: {older}: `millrace view {pipeline.name} --intervals --json` lists them all")
    return lines
