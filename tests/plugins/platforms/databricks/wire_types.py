"""Whether JSON is what Databricks' own SDK, which is generated from the API's definition, says of it: strictly.

The SDK's `from_dict` overlooks unknown fields and takes any value; here they are refused, and so is a missing field.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["WireTypeError", "check", "check_body", "check_query"]


class WireTypeError(Exception):
    """Not what the API takes or gives."""


def check(value: Any, kind: Any, where: str) -> None:
    """Whether a JSON value is of the SDK's type `kind`; raises WireTypeError."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        [kind] = [each for each in typing.get_args(kind) if each is not type(None)]
        return check(value, kind, where)
    if origin is list:
        _expect(value, list, where)
        for number, each in enumerate(value):
            check(each, typing.get_args(kind)[0], f"{where}[{number}]")
    elif origin is dict:
        _expect(value, dict, where)
        for key, each in value.items():
            check(each, typing.get_args(kind)[1], f"{where}.{key}")
    elif dataclasses.is_dataclass(kind):
        _check_fields(value, kind, where)
    elif inspect.isclass(kind) and issubclass(kind, enum.Enum):
        if value not in {each.value for each in kind}:
            raise WireTypeError(f"{where}: {value!r} is none of {[each.value for each in kind]}")
    elif kind is not Any:
        _expect(value, kind, where)
    return None


def check_body(body: Mapping[str, Any], method: Callable[..., Any]) -> None:
    """Whether a request's body is what a method of the SDK sends."""
    _check_named(body, method, lambda value, kind, where: check(value, kind, where))


def check_query(query: Mapping[str, str], method: Callable[..., Any]) -> None:
    """Whether a request's query holds what a method of the SDK sends, as text."""
    _check_named(query, method, lambda value, kind, where: None)


def _check_named(values: Mapping[str, Any], method: Callable[..., Any], each: Callable[[Any, Any, str], None]) -> None:
    hints, name = typing.get_type_hints(method), method.__qualname__
    parameters = {key: value for key, value in inspect.signature(method).parameters.items() if key != "self"}
    if unknown := set(values) - set(parameters):
        raise WireTypeError(f"{name}: unknown {sorted(unknown)}")
    required = {key for key, parameter in parameters.items() if parameter.default is inspect.Parameter.empty}
    if missing := required - set(values):
        raise WireTypeError(f"{name}: {sorted(missing)} missing")
    for key, value in values.items():
        each(value, hints[key], f"{name}.{key}")


def _check_fields(value: Any, kind: Any, where: str) -> None:
    _expect(value, dict, where)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := set(value) - set(fields):
        raise WireTypeError(f"{where}: unknown {sorted(unknown)} in {kind.__name__}")
    for name, field in fields.items():
        is_required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if name in value:
            check(value[name], hints[name], f"{where}.{name}")
        elif is_required:
            raise WireTypeError(f"{where}: {name} missing in {kind.__name__}")


def _expect(value: Any, kind: type, where: str) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise WireTypeError(f"{where}: {value!r} is no {kind.__name__}")
