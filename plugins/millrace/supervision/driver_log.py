"""What a person wants to see of a driver's log."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["LOG_LINES", "error_line", "excerpt"]

LOG_LINES = 600
"""How much of a log is read: a Java stack trace may have hundreds of lines."""

_SHOWN = 60
_FRAME = re.compile(r"^\s+(at \S+\(|\.\.\. \d+ more)")
_ERROR = re.compile(r"[\w.$]+(Error|Exception|Interrupt|Exit)\b|\b(ERROR|FATAL)\b|\berror: ")
_OWN = re.compile(r"^millrace: (?!query \S+ runs|stopped on request|\{)")
_LONGEST = 500


def excerpt(log: Sequence[str]) -> list[str]:
    """The last lines without the frames of Java's stack traces."""
    return [line for line in log if not _FRAME.match(line)][-_SHOWN:]


def error_line(log: Sequence[str]) -> str:
    """The last line that tells of an error."""
    lines = [line.strip().lstrip(": ") for line in log if not _FRAME.match(line)]
    errors = [line for line in lines if _OWN.search(line) or _ERROR.search(line)]
    return errors[-1][:_LONGEST] if errors else "its log tells of no error"
