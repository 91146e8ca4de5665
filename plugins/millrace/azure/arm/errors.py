"""What is wrong with a template, and where in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jobs.errors import MillraceError

__all__ = ["TemplateError", "within"]


class TemplateError(MillraceError):
    """A template, a parameter file or an expression breaks a rule of Azure Resource Manager."""


@contextmanager
def within(place: str) -> Iterator[None]:
    """Names the place in the template where an error arose: "resources[2].properties: ..."."""
    try:
        yield
    except TemplateError as error:
        raise TemplateError(f"{place}: {error}") from error
