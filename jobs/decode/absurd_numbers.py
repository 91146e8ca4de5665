"""Numbers that would take Spark minutes to parse: `1e999999999` as a decimal is a billion digits."""

from __future__ import annotations

from typing import Optional

from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.topic import Topic

__all__ = ["absurd_number"]

# An exponent of four digits or more, or 200 characters, as a number or as its text.
_ABSURD = r'-?[0-9.]+[eE][+-]?[0-9]{4}|-?[0-9.]{200}|"[^"a-df-zA-DF-Z ]*[eE][^"a-zA-Z ]{4,}"|"[^"]{200}'
# Letters and digits that are escaped without need could hide such a number, or the name of its field.
_HIDDEN = r"\\u00(?:3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA])"


def absurd_number(text: str, topic: Topic) -> Optional[Column]:
    """The fault of JSON text that may hold an absurd number for a decimal field, or null. None: no decimal fields."""
    decimals = "|".join(field.name for field in topic.fields if field.type.startswith("decimal"))
    if not decimals:
        return None
    absurd = rf'"({decimals})"\s*:\s*(?:{_ABSURD})'
    name = F.regexp_extract(text, absurd, 1)
    return F.when(F.col(text).rlike(absurd), F.concat(F.lit("number out of bounds: "), name)).when(
        F.col(text).rlike(_HIDDEN), F.lit("escaped letters or digits")
    )
