"""What Azure foresees that a deployment would change (what-if), for people to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["NOTHING", "changed", "foreseen"]

NOTHING = frozenset({"Ignore", "NoChange"})
_SIGNS = {
    "Create": "+",
    "Delete": "-",
    "Modify": "~",
    "Deploy": "!",
    "Unsupported": "?",
    "NoChange": "=",
    "Ignore": "*",
}

Change = Mapping[str, Any]
"""Azure's own JSON of one change: `{"resourceId", "changeType", "delta": [{"path", …}], …}`."""


def changed(changes: Iterable[Change]) -> list[Change]:
    """The changes that change something, or of which Azure cannot tell."""
    return [change for change in changes if _kind(change) not in NOTHING]


def foreseen(changes: Iterable[Change]) -> str:
    """A line per resource that changes, with the paths of the properties, then the counts. Values are not shown: they
    may be secrets, and the text goes to people who approve."""
    every = list(changes)
    counts = Counter(map(_kind, every))
    total = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing"
    return "\n".join([*(line for change in changed(every) for line in _lines(change)), f"foreseen: {total}"])


def _kind(change: Change) -> str:
    """Azure's `changeType`; NoChange for a Modify whose properties have no effect, each of them, if they are told."""
    if change["changeType"] == "Modify" and (delta := change.get("delta")) and not any(_paths(delta, "")):
        return "NoChange"
    return str(change["changeType"])


def _lines(change: Change) -> Iterator[str]:
    reason = f" ({change['unsupportedReason']})" if change.get("unsupportedReason") else ""
    yield f"{_SIGNS.get(change['changeType'], '?')} {_short(change['resourceId'])}{reason}"
    for path, kind in _paths(change.get("delta") or (), ""):
        yield f"    {_SIGNS.get(kind, '~')} {path}"


def _paths(delta: Iterable[Mapping[str, Any]], above: str) -> Iterator[tuple[str, str]]:
    for one in delta:
        path = f"{above}.{one['path']}" if above else str(one["path"])
        children = one.get("children")
        if children:
            yield from _paths(children, path)
        elif one["propertyChangeType"] != "NoEffect":
            yield path, one["propertyChangeType"]


def _short(resource_id: str) -> str:
    """The id without the subscription."""
    return "/".join(resource_id.split("/")[3:]) or resource_id
