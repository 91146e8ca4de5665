"""Which settings hold secrets: what Spark blots out of its UI, logs and event logs, and what no file may say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from millrace.environment_file import Table

__all__ = ["REDACTION", "redaction_of", "refuse_secrets"]

_NAMES = (
    "secret|password|passphrase|token|jaas|access[._-]?key|account[._-]?key|shared[._-]?key|private[._-]?key"
    "|connection[._-]?string|keystore[.]key|[.]sas[.]"
)
_SHOWN = f"(?i){_NAMES}|keystore|truststore"  # whole stores too: a PEM with its key may stand in one
_SECRET = re.compile(_NAMES, re.IGNORECASE)
_SECRET_WITHIN = re.compile(rf"({_NAMES})[\w.]*\s*=", re.IGNORECASE)

REDACTION = {"spark.redaction.regex": _SHOWN}
"""For every job. Spark looks for it in the names of settings, and in their values."""


def redaction_of(names: Iterable[str]) -> dict[str, str]:
    """REDACTION, for a job with further settings of these `names` that hold secrets, whatever they are called."""
    further = [name.replace(".", "[.]") for name in sorted(names) if not re.search(_SHOWN, name)]
    return {"spark.redaction.regex": "|".join([_SHOWN, *further])}


def refuse_secrets(table: Table, settings: Mapping[str, str], remedy: str, reference: str = "(?!)") -> None:
    """Raises MillraceError for a setting of the table that holds a secret, by its name or within its value.

    A value that matches the pattern `reference` as a whole only names a secret.
    """
    for name, value in settings.items():
        is_secret = _SECRET.search(name) or _SECRET_WITHIN.search(value)
        if is_secret and not re.fullmatch(reference, value):
            raise table.error(name, "…", f"secrets do not stand in a file: {remedy}")
