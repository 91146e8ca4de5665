"""What Spark blots out in its UI, logs and event logs, should it ever stand in a setting."""

from __future__ import annotations

__all__ = ["REDACTION"]

REDACTION = {"spark.redaction.regex": "(?i)secret|password|token|access[.]?key|account[.]key|jaas"}
