"""Looking into the plan of a query before it runs."""

from __future__ import annotations

from typing import Any, Iterator

from pyspark.sql import DataFrame

__all__ = ["calls_python", "plan_nodes"]


def plan_nodes(rows: DataFrame) -> Iterator[Any]:
    """The nodes of the analyzed plan, which are the JVM's, from the output on."""
    waiting: Any = [rows._jdf.queryExecution().analyzed()]
    while waiting:
        node = waiting.pop()
        yield node
        children = node.children()
        waiting += [children.apply(number) for number in reversed(range(children.size()))]


def calls_python(rows: DataFrame) -> bool:
    """Whether a function of Python computes any of it."""
    jvm: Any = rows.sparkSession.sparkContext._jvm
    pattern = jvm.org.apache.spark.sql.catalyst.trees.TreePattern.PYTHON_UDF()
    return bool(rows._jdf.queryExecution().analyzed().containsPattern(pattern))
