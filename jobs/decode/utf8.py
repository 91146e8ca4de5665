"""Telling valid UTF-8 from bytes that Spark would carry along unread."""

from __future__ import annotations

import pyspark
from pyspark.sql import Column
from pyspark.sql import functions as F

__all__ = ["is_valid_utf8"]


def is_valid_utf8(column: str) -> Column:
    """Whether a binary column is valid UTF-8. Null for null.

    Spark 3 has no such function: there, encoding goes through a Java string, which replaces what is malformed, so the
    bytes come back unchanged only if they were valid. (Spark 4 skips that way for UTF-8 but has the function.)
    """
    if int(pyspark.__version__.partition(".")[0]) >= 4:
        return F.expr(f"is_valid_utf8(cast({column} as string))")
    return F.expr(f"encode(cast({column} as string), 'UTF-8') = {column}")
