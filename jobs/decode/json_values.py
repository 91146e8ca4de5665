"""JSON values: one typed parse; a second look only at records that fail it."""

from __future__ import annotations

from typing import Callable, Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.decode.absurd_numbers import absurd_number
from jobs.decode.once import computed_once
from jobs.decode.utf8 import is_valid_utf8
from jobs.topic import Field, Topic

__all__ = ["decode_json"]

_ISO_8601_WITH_ZONE = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})\z"
_STRICT = {"allowNonNumericNumbers": "false", "allowSingleQuotes": "false"}
# Every field by its text, to tell a wrong type from no JSON at all.
_GIVEN = (
    f"from_json(_text, 'map<string,string>', map({', '.join(repr(word) for pair in _STRICT.items() for word in pair)}))"
)
_OPTIONS = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": "_corrupt", **_STRICT}


def decode_json(read: DataFrame, topic: Topic) -> DataFrame:
    """Adds `_event` and `_fault` to rows with `_bytes`. Fields that the topic does not declare are ignored, as is
    text after the object.

    Digits of a timestamp beyond the microsecond are cut off. Faults: `invalid UTF-8`, `not a JSON object`,
    `wrong type: fields`, `missing: fields`, and with decimal fields `number out of bounds: field` and
    `escaped letters or digits`.
    """
    read = read.withColumn("_no_text", F.when(~is_valid_utf8("_bytes"), F.lit("invalid UTF-8")))
    read = read.withColumn("_text", F.when(F.col("_no_text").isNull(), F.col("_bytes").cast("string")))
    absurd = absurd_number("_text", topic)
    read = read.withColumn("_absurd", F.lit(None).cast("string") if absurd is None else absurd)
    sound = F.when(F.col("_absurd").isNull(), F.col("_text"))
    parsed = computed_once(read, "_parsed", F.from_json(sound, _parse_schema(topic), _OPTIONS))
    event = F.struct(*(_typed(field).alias(field.name) for field in topic.fields))
    return parsed.withColumn("_event", event).withColumn("_fault", _fault(topic))


def _parse_schema(topic: Topic) -> str:
    """Timestamps are read as text first: Spark would take one without a zone, and guess."""
    columns = [f"`{f.name}` {'string' if f.type == 'timestamp' else f.type}" for f in topic.fields]
    return ", ".join([*columns, "`_corrupt` string"])


def _typed(field: Field) -> Column:
    found = F.col(f"_parsed.{field.name}")
    if field.type != "timestamp":
        return found
    return F.when(found.rlike(_ISO_8601_WITH_ZONE), F.expr(f"try_cast(_parsed.`{field.name}` as timestamp)"))


def _fault(topic: Topic) -> Column:
    corrupt = F.col("_parsed._corrupt").isNotNull()
    # In conditional branches: only records that fail the typed parse pay for the second one.
    mistyped = _names(topic.fields, lambda f: _given(f).isNotNull() & _is_null(f))
    no_times = _names(
        (f for f in topic.fields if f.type == "timestamp"),
        lambda f: F.col(f"_parsed.{f.name}").isNotNull() & _is_null(f),
    )
    missing = _names((f for f in topic.fields if f.required), _is_null)
    return (
        F.when(F.col("_text").isNull(), F.col("_no_text"))
        .when(F.col("_absurd").isNotNull(), F.col("_absurd"))
        .when(F.col("_parsed").isNull() | (corrupt & F.expr(_GIVEN).isNull()), F.lit("not a JSON object"))
        .when(corrupt & (mistyped == ""), F.lit("wrong type: a repeated field"))
        .when(corrupt, F.concat(F.lit("wrong type: "), mistyped))
        .when(no_times != "", F.concat(F.lit("wrong type: "), no_times))
        .when(missing != "", F.concat(F.lit("missing: "), missing))
    )


def _given(field: Field) -> Column:
    """The field's text, null where it is missing: Spark 3's ANSI mode makes an error of a plain look-up."""
    return F.expr(f"try_element_at({_GIVEN}, '{field.name}')")


def _is_null(field: Field) -> Column:
    return F.col(f"_event.{field.name}").isNull()


def _names(fields: Iterable[Field], holds: Callable[[Field], Column]) -> Column:
    """The names of those fields for which the condition holds, joined by a comma; empty when there is none."""
    return F.concat_ws(", ", *(F.when(holds(field), F.lit(field.name)) for field in fields))
