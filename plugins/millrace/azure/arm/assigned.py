"""Parameters as a person writes them, `name=value`, read by the types that the template declares."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jobs.errors import UsageError
from millrace.azure.arm.errors import TemplateError
from millrace.azure.arm.model import Pending

__all__ = ["read_assigned", "stand_ins"]


def read_assigned(template: Mapping[str, Any], assigned: Iterable[str]) -> dict[str, Any]:
    """Values by parameter name. A text is taken as it is, any other type is JSON; `name=@file` reads a file.

    Raises UsageError for what is no assignment, names no parameter, or is not of the parameter's type.
    """
    rules = {name.lower(): (name, rule) for name, rule in template["parameters"].items()}
    found: dict[str, Any] = {}
    for text in assigned:
        given, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"parameter {text!r} has no value; write it as {text}=value, or {text}=@file")
        if given.lower() not in rules:
            raise UsageError(f"parameter {given!r} is none of the template's; it has {', '.join(sorted(rules))}")
        name, rule = rules[given.lower()]
        found[name] = _value(name, rule["type"].lower(), value)
    return found


def stand_ins(template: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each secure parameter that shows none: what a plan is made with."""
    secure = (name for name, rule in template["parameters"].items() if rule["type"].lower().startswith("secure"))
    return {name: Pending("the deployment's parameters", (name,)) for name in secure}


def _value(name: str, kind: str, text: str) -> Any:
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise TemplateError(f"parameter {name!r}: {text[1:]!r} cannot be read: {error}") from error
    if kind in ("string", "securestring"):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"parameter {name!r}: {text!r} is no JSON, and it is of type {kind}: {error}") from error
