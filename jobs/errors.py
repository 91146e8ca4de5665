"""Errors say what thing, what value, which rule, and what to do about it."""

from __future__ import annotations

__all__ = ["DeclarationError", "LockHeldError", "MillraceError", "StopRequestedError", "UsageError"]


class MillraceError(Exception):
    """Base of every error that Millrace raises on purpose."""


class DeclarationError(MillraceError):
    """A topic or pipeline declaration breaks a rule."""

    def __init__(self, thing: str, field: str, value: object, rule: str, remedy: str) -> None:
        super().__init__(f"{thing}: {field} {value!r} {rule}; {remedy}")


class UsageError(MillraceError):
    """An argument given by a person or a DAG breaks a rule."""


class LockHeldError(MillraceError):
    """Another driver runs this query."""


class StopRequestedError(MillraceError):
    """A driver was asked to stop before its query ran; a later start goes on."""
