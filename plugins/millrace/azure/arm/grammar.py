"""Template expressions as trees: `[concat('a', parameters('b').c[0])]`.

The language: https://learn.microsoft.com/azure/azure-resource-manager/templates/template-expressions
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from millrace.azure.arm.errors import TemplateError

__all__ = ["Call", "Expression", "Literal", "Member", "is_expression", "parse", "unescape"]

_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<name>[A-Za-z_]\w*)|(?P<mark>[()\[\],.]))")
_LONGEST = 24_576  # characters: Azure's limit


@dataclass(frozen=True)
class Literal:
    """A string or a whole number."""

    value: str | int


@dataclass(frozen=True)
class Call:
    """A function, its name in lower case: names of functions ignore case."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class Member:
    """`target.key` or `target[key]`."""

    target: Expression
    key: Expression


Expression: TypeAlias = Literal | Call | Member


def is_expression(text: str) -> bool:
    """Whether Azure would evaluate this string; `[[` at the start escapes it."""
    return text.startswith("[") and text.endswith("]") and not text.startswith("[[")


def unescape(text: str) -> str:
    """A string that is no expression, as Azure takes it."""
    return text[1:] if text.startswith("[[") and text.endswith("]") else text


@lru_cache(maxsize=4096)
def parse(text: str) -> Expression:
    """The tree of `text`, brackets included. Raises TemplateError with the place of what cannot be read."""
    if len(text) > _LONGEST:
        raise TemplateError(f"an expression of {len(text)} characters; Azure takes at most {_LONGEST}")
    reader = _Reader(text, _tokens(text[1:-1], text))
    tree = reader.expression()
    if reader.peek() != "":
        raise TemplateError(f"{text}: {reader.peek()!r} after the end of the expression")
    return tree


def _tokens(inner: str, text: str) -> list[str]:
    found, position = [], 0
    while inner[position:].strip():
        match = _TOKEN.match(inner, position)
        if match is None:
            raise TemplateError(f"{text}: cannot read {inner[position:][:20]!r} at character {position + 1}")
        found.append(match[match.lastgroup or 0])
        position = match.end()
    return found


class _Reader:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str, tokens: list[str]) -> None:
        self.text = text
        self.tokens = tokens
        self.position = 0

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        if not token or (expected and token != expected):
            raise TemplateError(f"{self.text}: {expected or 'something'} expected, {token or 'the end'} found")
        self.position += 1
        return token

    def expression(self) -> Expression:
        tree = self.atom()
        while self.peek() in (".", "["):
            if self.take() == ".":
                tree = Member(tree, Literal(self.take()))
            else:
                tree = Member(tree, self.expression())
                self.take("]")
        return tree

    def atom(self) -> Expression:
        token = self.take()
        if token.startswith("'"):
            return Literal(token[1:-1].replace("''", "'"))
        if token.lstrip("-").isdigit():
            return Literal(int(token))
        self.take("(")
        return Call(token.lower(), tuple(self.arguments()))

    def arguments(self) -> list[Expression]:
        found: list[Expression] = []
        while self.peek() != ")":
            if found:
                self.take(",")
            found.append(self.expression())
        self.take(")")
        return found
