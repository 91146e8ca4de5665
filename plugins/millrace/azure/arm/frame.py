"""Evaluates expressions: parameters, variables, loops, and the functions that depend on where they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from millrace.azure.arm.address_functions import ADDRESS_FUNCTIONS
from millrace.azure.arm.errors import TemplateError, within
from millrace.azure.arm.grammar import Call, Expression, Literal, is_expression, parse, unescape
from millrace.azure.arm.live import Live, World
from millrace.azure.arm.model import Pending
from millrace.azure.arm.resource_ids import id_functions
from millrace.azure.arm.scope import Scope
from millrace.azure.arm.value_functions import VALUE_FUNCTIONS

__all__ = ["Frame"]

_PURE = {**VALUE_FUNCTIONS, **ADDRESS_FUNCTIONS}


@dataclass(frozen=True)
class Frame:
    """What an expression can see. `ids_by_name` maps names of the template's resources to ids, for reference('name').

    `planning` is Azure's first pass (names, conditions, counts, variables), where nothing deployed may be asked.
    """

    scope: Scope
    parameters: Mapping[str, Any]
    variables: Mapping[str, Any]
    world: World
    planning: bool = True
    ids_by_name: Mapping[str, str] = field(default_factory=dict)
    loops: Mapping[str, int] = field(default_factory=dict)

    def deploying(self, ids_by_name: Mapping[str, str]) -> Frame:
        """As this, in the second pass, where reference() is allowed."""
        return replace(self, planning=False, ids_by_name=ids_by_name)

    def value(self, raw: Any) -> Any:
        """`raw`, a piece of a template, with every expression in it evaluated and its `copy` loops unrolled."""
        if isinstance(raw, str):
            return self.run(parse(raw)) if is_expression(raw) else unescape(raw)
        if isinstance(raw, list):
            return [self.value(item) for item in raw]
        if isinstance(raw, Mapping):
            return self._object(raw)
        return raw

    def _object(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key, item in raw.items():
            if key == "copy" and isinstance(item, list):
                for loop in item:
                    built[loop["name"]] = [frame.value(loop["input"]) for frame in self.repeated(loop)]
            else:
                with within(key):
                    built[self.value(key)] = self.value(item)
        return built

    def repeated(self, loop: Mapping[str, Any]) -> Iterator[Frame]:
        """A frame per turn of a `copy` loop. The count must be known before the deployment, between 0 and 800."""
        count = replace(self, planning=True).value(loop["count"])
        if not isinstance(count, int) or not 0 <= count <= 800:
            raise TemplateError(f"copy {loop['name']!r}: count is {count!r}; it must be a whole number of 0 to 800")
        for index in range(count):
            yield replace(self, loops={**self.loops, loop["name"].lower(): index, "": index})

    def run(self, tree: Expression) -> Any:
        """The value of an expression."""
        if isinstance(tree, Literal):
            return tree.value
        if isinstance(tree, Call):
            return self._call(tree)
        return _member(self.run(tree.target), self.run(tree.key))

    def _call(self, call: Call) -> Any:
        if call.name == "if":
            condition, then, otherwise = call.arguments
            return self.run(then if self.run(condition) is True else otherwise)
        if call.name in ("and", "or"):
            return (all if call.name == "and" else any)(self.run(argument) for argument in call.arguments)
        function = self._function(call.name)
        arguments = [self.run(argument) for argument in call.arguments]
        try:
            return function(*arguments)
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise TemplateError(f"{call.name}({', '.join(map(repr, arguments))}): {error}") from error

    def _function(self, name: str) -> Callable[..., Any]:
        if name in _PURE:
            return _PURE[name]
        described = self.scope.described()
        if name in described:
            return lambda: described[name]
        own: dict[str, Callable[..., Any]] = {
            "copyindex": self._copy_index,
            "parameters": lambda key: _named("parameter", self.parameters, key),
            "reference": self._reference,
            "variables": lambda key: _named("variable", self.variables, key),
            **id_functions(self.scope),
        }
        if name in own:
            return own[name]
        if name.startswith("list"):
            return lambda target, *_: self._list(name, target)
        if name == "resourcegroup":
            raise TemplateError("resourceGroup() in a deployment to a subscription; there is no group")
        raise TemplateError(f"unknown function {name}(), or one that is not evaluated here")

    def _copy_index(self, loop: str | int = "", offset: int = 0) -> int:
        name, offset = ("", loop) if isinstance(loop, int) else (loop.lower(), offset)
        if name not in self.loops:
            raise TemplateError(f"copyIndex({loop!r}): no such loop around it; loops: {sorted(set(self.loops) - {''})}")
        return self.loops[name] + offset

    def _reference(self, target: str, _api_version: str = "", full: str = "") -> Any:
        self._refuse_while_planning("reference")
        return self.world.reference(self._id(target), full.lower() == "full")

    def _list(self, name: str, target: str) -> Any:
        self._refuse_while_planning(name)
        return Live(self._id(target), (f"{name}()",), {})

    def _id(self, target: str) -> str:
        if target.startswith("/"):
            return target
        if target.lower() not in self.ids_by_name:
            raise TemplateError(
                f"reference({target!r}): the template has no resource of that name; give its resource id"
            )
        return self.ids_by_name[target.lower()]

    def _refuse_while_planning(self, function: str) -> None:
        if self.planning:
            raise TemplateError(
                f"{function}() stands in a name, a condition, a count, a variable or a default value; "
                "Azure evaluates these before it deploys anything: use resourceId() or a parameter"
            )


def _named(kind: str, values: Mapping[str, Any], key: str) -> Any:
    if key.lower() not in values:
        raise TemplateError(f"{kind} {key!r} is not declared; declared: {', '.join(sorted(values))}")
    return values[key.lower()]


def _member(target: Any, key: Any) -> Any:
    if isinstance(target, Live | Pending):
        return target.member(str(key))
    if isinstance(target, list) and isinstance(key, int) and 0 <= key < len(target):
        return target[key]
    if isinstance(target, Mapping):
        for name, value in target.items():
            if name.lower() == str(key).lower():
                return value
        raise TemplateError(f"no property {key!r}; there are: {', '.join(target) or 'none'}")
    raise TemplateError(f"{key!r} asked of {target!r}")
