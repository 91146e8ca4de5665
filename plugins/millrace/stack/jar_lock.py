"""Lock files: which jars belong to a set, pinned by coordinates and SHA-256."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import MillraceError
from millrace.home import PROJECT_ROOT

__all__ = ["Jar", "JarSet", "load_jar_set", "sha256"]

_LINE = re.compile(
    r"(?P<group>[\w.-]+):(?P<artifact>[\w.-]+):(?P<version>[\w.-]+)(:(?P<classifier>[\w.-]+))? (?P<sha256>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Jar:
    """One published jar and the SHA-256 (hex) that its bytes must have."""

    group: str
    artifact: str
    version: str
    sha256: str
    classifier: str | None = None

    @property
    def file_name(self) -> str:
        suffix = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{suffix}.jar"


@dataclass(frozen=True)
class JarSet:
    """The jars of one lock file, in its order; `digest` (16 hex digits) names exactly this selection."""

    name: str
    jars: tuple[Jar, ...]
    digest: str


def load_jar_set(name: str, folder: Path = PROJECT_ROOT / "infra" / "local") -> JarSet:
    """The set pinned in `<folder>/jars.<name>.lock`.

    Raises MillraceError for an unknown set and for a line that is not `group:artifact:version[:classifier] sha256`.
    """
    path = folder / f"jars.{name}.lock"
    if not path.exists():
        known = sorted(file.name.split(".")[1] for file in folder.glob("jars.*.lock"))
        raise MillraceError(f"jar set {name!r}: {path} does not exist; the sets are {', '.join(known) or 'none'}")
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    jars = tuple(_parse(path, number, line) for number, line in lines if line.strip() and not line.startswith("#"))
    pins = "\n".join(f"{jar.group}:{jar.file_name} {jar.sha256}" for jar in jars)
    return JarSet(name, jars, hashlib.sha256(pins.encode()).hexdigest()[:16])


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parse(path: Path, number: int, line: str) -> Jar:
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise MillraceError(
            f"{path}, line {number}: {line!r} is not 'group:artifact:version[:classifier] sha256' with 64 lower-case"
            f" hex digits; correct the line, or restore the file from version control"
        )
    return Jar(**match.groupdict())
