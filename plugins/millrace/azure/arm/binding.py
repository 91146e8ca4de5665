"""Binds a template's parameters and variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from millrace.azure.arm.errors import TemplateError, within
from millrace.azure.arm.frame import Frame
from millrace.azure.arm.live import Live, World
from millrace.azure.arm.model import Pending
from millrace.azure.arm.scope import Scope

__all__ = ["bind"]

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": (str, Pending),
    "securestring": (str, Pending),
    "int": int,
    "bool": bool,
    "array": (list, Pending),
    "object": (Mapping, Live, Pending),
    "secureobject": (Mapping, Live, Pending),
}


def bind(template: Mapping[str, Any], given: Mapping[str, Any], scope: Scope, world: World) -> Frame:
    """The frame of a template with the values `given` for its parameters.

    Raises TemplateError for a missing or unknown parameter, and for a value that breaks a declared bound.
    """
    declared = template.get("parameters", {})
    unknown = {name.lower() for name in given} - {name.lower() for name in declared}
    if unknown:
        raise TemplateError(f"unknown parameters {sorted(unknown)}; declared: {', '.join(sorted(declared))}")
    values: dict[str, Any] = {}
    frame = Frame(scope, values, {}, world)
    by_name = {name.lower(): value for name, value in given.items()}
    for name, rule in declared.items():
        with within(f"parameter {name!r}"):
            values[name.lower()] = _checked(rule, _value(rule, name, by_name, frame))
    return Frame(scope, values, _Variables(template.get("variables", {}), scope, values, world), world)


def _value(rule: Mapping[str, Any], name: str, given: Mapping[str, Any], frame: Frame) -> Any:
    if name.lower() in given:
        return given[name.lower()]
    if "defaultValue" not in rule:
        raise TemplateError("has no value and no default; give one")
    return frame.value(rule["defaultValue"])


def _checked(rule: Mapping[str, Any], value: Any) -> Any:
    kind = rule["type"].lower()
    if not isinstance(value, _TYPES[kind]) or (kind == "int" and isinstance(value, bool)):
        raise TemplateError(f"{value!r} is no {rule['type']}")
    if isinstance(value, Live | Pending):
        return value
    if "allowedValues" in rule and value not in rule["allowedValues"]:
        raise TemplateError(f"{value!r} is not allowed; use one of {rule['allowedValues']}")
    size = value if kind == "int" else len(value) if isinstance(value, str | list) else 0
    least, most = ("minValue", "maxValue") if kind == "int" else ("minLength", "maxLength")
    if size < rule.get(least, size) or size > rule.get(most, size):
        shown = "a secret" if kind.startswith("secure") else repr(value)
        raise TemplateError(f"{shown} breaks {least} {rule.get(least)} or {most} {rule.get(most)}")
    return value


class _Variables(Mapping[str, Any]):
    """Variables by lower-case name, each evaluated when it is first asked for; a circle raises TemplateError."""

    def __init__(self, raw: Mapping[str, Any], scope: Scope, parameters: Mapping[str, Any], world: World) -> None:
        loops = {loop["name"].lower(): {"copy": [loop]} for loop in raw.get("copy", [])}
        self._raw = {name.lower(): value for name, value in raw.items() if name != "copy"} | loops
        self._looped = set(loops)
        self._frame = Frame(scope, parameters, self, world)
        self._values: dict[str, Any] = {}
        self._under_way: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        if name in self._under_way:
            raise TemplateError(f"variable {name!r} depends on itself")
        if name not in self._values:
            self._under_way.add(name)
            with within(f"variable {name!r}"):
                value = self._frame.value(self._raw[name])
            self._values[name] = next(iter(value.values())) if name in self._looped else value
            self._under_way.discard(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)
