"""The tables of an environment's file, read strictly: what is missing or unknown is told with a remedy."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.errors import MillraceError

__all__ = ["Table", "read_file"]


@dataclass(frozen=True)
class Table:
    """One table of the file `path`; `name` is empty for the file's own keys."""

    path: Path
    name: str
    values: Mapping[str, Any]

    def table(self, name: str) -> Table:
        """A table below this one, empty where the file has none."""
        found = self.values.get(name, {})
        if not isinstance(found, dict):
            raise self.error(name, found, f"write a table, [{self._full(name)}]")
        return Table(self.path, self._full(name), found)

    def text(self, field: str, what: str) -> str:
        """A text that must be there; `what` it is goes into the error's remedy."""
        value = self.values.get(field)
        if not isinstance(value, str) or not value:
            raise self.error(field, value, f"give it {what}")
        return value

    def optional_text(self, field: str) -> str | None:
        """A text, None where it is missing or empty."""
        return self.text(field, "a text") if self.values.get(field) not in (None, "") else None

    def texts(self) -> dict[str, str]:
        """Every key with its value as text; numbers and booleans are written as programs write them."""
        found = {}
        for key, value in self.values.items():
            if isinstance(value, dict):
                first = next(iter(value), "…")
                raise self.error(key, value, f'a name with dots stands in quotes: "{key}.{first}" = …')
            if not isinstance(value, str | int | float):
                raise self.error(key, value, "write it as a text")
            found[key] = str(value).lower() if isinstance(value, bool) else str(value)
        return found

    def names(self, field: str) -> tuple[str, ...]:
        """A list of texts, empty where it is missing."""
        value = self.values.get(field, [])
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise self.error(field, value, 'write a list of names, ["…", "…"]')
        return tuple(value)

    def whole(self, field: str, default: int, most: int) -> int:
        """A whole number from 1 to `most`."""
        value = self.values.get(field, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise self.error(field, value, f"write a whole number from 1 to {most}")
        return value

    def switch(self, field: str) -> bool:
        """True or false; false where it is missing."""
        value = self.values.get(field, False)
        if not isinstance(value, bool):
            raise self.error(field, value, "write true or false")
        return value

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Raises MillraceError for a key that is not `known`: a typing error would be ignored otherwise."""
        if unknown := sorted(set(self.values) - set(known)):
            raise self.error(unknown[0], self.values[unknown[0]], f"that is no setting; use one of: {', '.join(known)}")

    def filled(self, told: Mapping[str, Mapping[str, str]]) -> Table:
        """With what is `told`, by table and field, where this file leaves a field out or empty."""
        tables = {}
        for name, fields in told.items():
            values = self.table(name).values
            tables[name] = {**values, **{field: value for field, value in fields.items() if not values.get(field)}}
        return Table(self.path, self.name, {**self.values, **tables})

    def error(self, field: str, value: object, remedy: str) -> MillraceError:
        """The error for a field of this table."""
        return MillraceError(f"{self.path}: {self._full(field)} is {value!r}; {remedy}")

    def _full(self, field: str) -> str:
        return f"{self.name}.{field}" if self.name else field


def read_file(path: Path) -> Table:
    """Raises MillraceError where it is not TOML."""
    try:
        return Table(path, "", tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise MillraceError(f"{path}: not valid TOML: {error}; correct the line") from error
