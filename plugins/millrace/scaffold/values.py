"""What the templates of a pipeline say about its topic: it is counted per minute, and per its first text field."""

from __future__ import annotations

from collections.abc import Iterable

from jobs.topic import METADATA_COLUMNS, Field, Topic

__all__ = ["template_values"]

_SAMPLES = {"string": ('"A"', '"A"'), "long": ("1", "2"), "double": ("1.0", "2.0"), "boolean": ("True", "False")}
_DECIMALS = ('Decimal("1")', 'Decimal("2")')
_LINE = 120
"""What `make lint` allows."""


def template_values(name: str, topic: Topic) -> dict[str, str]:
    """Each placeholder of the templates, by name."""
    group = next((field.name for field in topic.fields if field.type == "string" and field.required), None)
    number = next((field.name for field in topic.fields if _is_number(field)), None)
    computed = _computed(number)
    return {
        "name": name,
        "topic": topic.name,
        "summary": f"Events, lowest and highest {number}" if number else "Events",
        "period_text": f"{group} and minute" if group else "minute",
        "key": f'"{group}", "window_start"' if group else '"window_start",',
        "group": (f'"{group}", ' if group else "") + f'F.window("{topic.event_time}", "1 minute").alias("window")',
        "aggregates": _lines(12, (f'{expression}.alias("{column}"),' for column, expression in computed.items())),
        "columns": _lines(12, _selected(group, computed)),
        "schema": _schema(topic),
        "events": _lines(8, (line for number in (0, 1) for line in _event(topic, number))),
        "expected": _lines(12, _expected(topic, group, number)),
        "decimal_import": "\nfrom decimal import Decimal" if any("decimal" in f.type for f in topic.fields) else "",
    }


def _computed(number: str | None) -> dict[str, str]:
    found = {"events": 'F.count("*")'}
    return found | ({"lowest": f'F.min("{number}")', "highest": f'F.max("{number}")'} if number else {})


def _selected(group: str | None, computed: Iterable[str]) -> list[str]:
    window = [f'F.col("window.{end}").alias("window_{end}"),' for end in ("start", "end")]
    return [*([f'"{group}",'] if group else []), *window, *(f'"{column}",' for column in computed)]


def _schema(topic: Topic) -> str:
    """A string, on one line or on one for each column."""
    columns = [f"{field.name} {field.type.replace(', ', ',')}" for field in topic.fields]
    columns += [f"{METADATA_COLUMNS[0]} int", f"{METADATA_COLUMNS[1]} long"]
    text = f'"{", ".join(columns)}"'
    if len(f"SCHEMA = {text}") <= _LINE:
        return text
    *others, last = columns
    return "\n".join(["(", *(f'    "{column}, "' for column in others), f'    "{last}"', ")"])


def _event(topic: Topic, number: int) -> list[str]:
    """A tuple, on one line or on one for each value."""
    values = [*(_sample(field, number) for field in topic.fields), "0", str(number)]
    text = f"({', '.join(values)}),"
    return [text] if 8 + len(text) <= _LINE else ["(", *(f"    {value}," for value in values), "),"]


def _sample(field: Field, number: int) -> str:
    if field.type == "timestamp":
        return f"MINUTE.replace(second={number})"
    return _DECIMALS[number] if field.type.startswith("decimal") else _SAMPLES[field.type][number]


def _expected(topic: Topic, group: str | None, number: str | None) -> list[str]:
    values = ['"window_start": MINUTE,', '"window_end": MINUTE.replace(minute=31),', '"events": 2,']
    grouped = [f'"{group}": "A",'] if group else []
    samples = {field.name: (_sample(field, 0), _sample(field, 1)) for field in topic.fields}
    extremes = [f'"lowest": {samples[number][0]},', f'"highest": {samples[number][1]},'] if number else []
    return [*grouped, *values, *extremes]


def _is_number(field: Field) -> bool:
    return field.required and (field.type in ("long", "double") or field.type.startswith("decimal"))


def _lines(indent: int, lines: Iterable[str]) -> str:
    return "\n".join(" " * indent + line for line in lines)
