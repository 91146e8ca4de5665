"""Functions of values alone: text, lists, objects, numbers, comparison.

The list: https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from millrace.azure.arm.errors import TemplateError
from millrace.azure.arm.hashing import guid, unique_string
from millrace.azure.arm.model import Pending

__all__ = ["VALUE_FUNCTIONS"]


def text_of(value: Any) -> str:
    """A value as Azure writes it into text: `True`, `7`, JSON for lists and objects."""
    if isinstance(value, Mapping | list):
        return json.dumps(value, default=str, separators=(",", ":"))
    return "" if value is None else str(value)


def _concat(*values: Any) -> Any:
    if values and all(isinstance(value, list) for value in values):
        return [item for value in values for item in value]
    return "".join(map(text_of, values))


def _format(pattern: str, *values: Any) -> str:
    def put(match: re.Match[str]) -> str:
        index, layout = int(match[1]), match[2] or ""
        if index >= len(values):
            raise TemplateError(f"format({pattern!r}): no value for {{{index}}}")
        digits = re.fullmatch(r":[dD](\d*)", layout)
        if layout and digits is None:
            raise TemplateError(f"format({pattern!r}): {layout!r} is not evaluated here; use none, or D and digits")
        return text_of(values[index]).zfill(int(digits[1] or 0) if digits else 0)

    return re.sub(r"\{(\d+)(:[^}]*)?\}", put, pattern)


def _contains(container: Any, item: Any) -> bool:
    if isinstance(container, Mapping):
        return str(item).lower() in {key.lower() for key in container}
    return item in container if isinstance(container, list) else text_of(item) in text_of(container)


def _empty(value: Any) -> bool:
    return not isinstance(value, Pending) and (value is None or len(value) == 0)


def _equals(left: Any, right: Any) -> bool:
    return bool(left == right and isinstance(left, bool) == isinstance(right, bool))


def _union(*values: Any) -> Any:
    if all(isinstance(value, list) for value in values):
        found: list[Any] = []
        for item in _concat(*values):
            if item not in found:
                found.append(item)
        return found
    return _merge(values)


def _merge(values: tuple[Mapping[str, Any], ...]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for value in values:
        for key, item in value.items():
            both = isinstance(item, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = _merge((merged[key], item)) if both else item
    return merged


def _intersection(first: Any, *others: Any) -> Any:
    if isinstance(first, list):
        return [item for item in first if all(item in other for other in others)]
    return {key: item for key, item in first.items() if all(other.get(key) == item for other in others)}


def _create_object(*pairs: Any) -> dict[str, Any]:
    if len(pairs) % 2:
        raise TemplateError(f"createObject takes keys and values in turn; it was given {len(pairs)} arguments")
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def _split(text: str, marks: Any) -> list[str]:
    marks = marks if isinstance(marks, list) else [marks]
    return re.split("|".join(re.escape(mark) for mark in marks), text)


def _substring(text: str, start: int, length: int | None = None) -> str:
    end = len(text) if length is None else start + length
    if not 0 <= start <= end <= len(text):
        raise TemplateError(f"substring({text!r}, {start}, {length}) reaches beyond the {len(text)} characters")
    return text[start:end]


def _end_of(value: Any, index: int) -> Any:
    if not value:
        return "" if isinstance(value, str) else None
    return value[index]


def _boolean(value: Any) -> bool:
    return value.lower() == "true" if isinstance(value, str) else bool(value)


VALUE_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "add": lambda left, right: left + right,
    "array": lambda value: value if isinstance(value, list) else [value],
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "bool": _boolean,
    "coalesce": lambda *values: next((value for value in values if value is not None), None),
    "concat": _concat,
    "contains": _contains,
    "createarray": lambda *values: list(values),
    "createobject": _create_object,
    "div": lambda left, right: int(left / right),
    "empty": _empty,
    "endswith": lambda text, end: text.lower().endswith(end.lower()),
    "equals": _equals,
    "false": lambda: False,
    "first": lambda value: _end_of(value, 0),
    "format": _format,
    "greater": lambda left, right: left > right,
    "greaterorequals": lambda left, right: left >= right,
    "guid": lambda *values: guid(*map(text_of, values)),
    "indexof": lambda text, part: text.lower().find(part.lower()),
    "int": int,
    "intersection": _intersection,
    "items": lambda value: [{"key": key, "value": value[key]} for key in sorted(value)],
    "join": lambda items, mark: mark.join(map(text_of, items)),
    "json": json.loads,
    "last": lambda value: _end_of(value, -1),
    "length": len,
    "less": lambda left, right: left < right,
    "lessorequals": lambda left, right: left <= right,
    "max": lambda *values: max(values[0] if isinstance(values[0], list) else values),
    "min": lambda *values: min(values[0] if isinstance(values[0], list) else values),
    "mod": lambda left, right: left - int(left / right) * right,
    "mul": lambda left, right: left * right,
    "not": lambda value: not value,
    "null": lambda: None,
    "padleft": lambda text, width, fill=" ": text_of(text).rjust(width, fill),
    "range": lambda start, count: list(range(start, start + count)),
    "replace": lambda text, old, new: text.replace(old, new),
    "skip": lambda value, count: value[max(count, 0) :],
    "split": _split,
    "startswith": lambda text, start: text.lower().startswith(start.lower()),
    "string": text_of,
    "sub": lambda left, right: left - right,
    "substring": _substring,
    "take": lambda value, count: value[: max(count, 0)],
    "tolower": lambda text: text_of(text).lower(),
    "toupper": lambda text: text_of(text).upper(),
    "trim": lambda text: text.strip(),
    "true": lambda: True,
    "union": _union,
    "uniquestring": lambda *values: unique_string(*map(text_of, values)),
}
