"""The Java runtime of this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from jobs.errors import MillraceError

__all__ = ["find_java"]


def find_java() -> str:
    """The `java` of JAVA_HOME, else of the PATH; raises MillraceError where there is none."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    java = java or shutil.which("java")
    if java is None:
        raise MillraceError(
            "Java: no `java` in JAVA_HOME or on the PATH; install a Java 17 or 21 runtime "
            "(Debian, Ubuntu: openjdk-17-jre-headless; macOS: openjdk@17; or adoptium.net)"
        )
    return java
