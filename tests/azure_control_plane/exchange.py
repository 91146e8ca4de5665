"""What goes over the wire: a request, its answer, and Azure's form of an error."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "Exchange", "Request", "error", "refusal"]


@dataclass(frozen=True)
class Request:
    """`body` is parsed JSON, or the fields of a form; None where there is none. Header names are in lower case."""

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any = None

    @property
    def url(self) -> str:
        """The path and the query, as the client sent them."""
        query = urllib.parse.urlencode(self.query)
        return f"https://{self.host}{urllib.parse.quote(self.path)}" + (f"?{query}" if query else "")


@dataclass(frozen=True)
class Answer:
    """`body` is JSON; None for none. `of` is the request whose definition describes the answer, where that is not the
    one that was answered: the end of a long-running operation is described with its beginning."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    of: Request | None = None


@dataclass(frozen=True)
class Exchange:
    """A request and what was answered; `at` is when it came, in seconds of the monotonic clock."""

    request: Request
    answer: Answer
    at: float = 0.0


def error(code: str, message: str, details: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """`{"code", "message"}`, with details where there are some."""
    return {"code": code, "message": message, **({"details": list(details)} if details else {})}


def refusal(status: int, code: str, message: str, **headers: str) -> Answer:
    """An error as Azure Resource Manager answers it; `retry_after` becomes `Retry-After`."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return Answer(status, {"error": error(code, message)}, named)
