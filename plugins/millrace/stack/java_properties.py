"""Settings as java.util.Properties reads them.

https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/util/Properties.html#load(java.io.Reader)
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["properties_text"]


def properties_text(values: Mapping[str, str]) -> str:
    """A line for each, in whatever encoding it is read."""
    return "".join(f"{_escaped(key, ' :=#!')}={_escaped(value)}\n" for key, value in sorted(values.items()))


def _escaped(text: str, special: str = "") -> str:
    return "".join(_character(each, special, is_first=place == 0) for place, each in enumerate(text))


def _character(each: str, special: str, *, is_first: bool) -> str:
    if each == "\n":
        return "\\n"
    if each == "\\" or each in special or (is_first and each == " "):
        return "\\" + each
    if " " <= each <= "~":
        return each
    units = each.encode("utf-16-be")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
