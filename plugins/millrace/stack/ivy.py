"""Resolve pinned jars with Apache Ivy, which ships inside pyspark: no registry is named in this repository.

A site that must use its own mirror names an Ivy settings file in the environment variable MILLRACE_IVY_SETTINGS
(https://ant.apache.org/ivy/history/2.5.3/settings.html).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from xml.sax.saxutils import quoteattr

from jobs.errors import MillraceError
from millrace.stack.jar_lock import Jar, JarSet
from millrace.stack.java import find_java

__all__ = ["ivy_module", "retrieve"]


def ivy_module(jars: JarSet) -> str:
    """The ivy.xml that asks for exactly these jars and for nothing that they depend on."""
    modules: dict[tuple[str, str, str], list[Jar]] = {}
    for jar in jars.jars:
        modules.setdefault((jar.group, jar.artifact, jar.version), []).append(jar)
    wanted = "\n".join(f"    {_dependency(files)}" for files in modules.values())
    return (
        '<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">\n'
        f"  <info organisation={quoteattr('millrace')} module={quoteattr(jars.name)}/>\n"
        f"  <dependencies>\n{wanted}\n  </dependencies>\n"
        "</ivy-module>\n"
    )


def retrieve(jars: JarSet, cache: Path, target: Path, on_progress: Callable[[int], None]) -> None:
    """Download `jars` through `cache` into the folder `target`; the bytes are not checked here.

    Raises MillraceError, with the end of Ivy's output, when a jar cannot be had.
    """
    cache.mkdir(parents=True, exist_ok=True)
    module, log = cache / "ivy.xml", cache / "ivy.log"
    module.write_text(ivy_module(jars), encoding="utf-8")
    command = [find_java(), "-jar", str(_ivy_jar()), "-cache", str(cache), "-ivy", str(module)]
    command += ["-retrieve", f"{target}/[artifact]-[revision](-[classifier]).[ext]", "-types", "jar", "bundle", "-warn"]
    if settings := os.environ.get("MILLRACE_IVY_SETTINGS"):
        command += ["-settings", settings]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as ivy:
        while not _has_ended(ivy):
            on_progress(sum(1 for _ in cache.glob("*/*/*s/*.jar")))
    missing = [jar.file_name for jar in jars.jars if not (target / jar.file_name).exists()]
    if ivy.returncode or missing:
        raise MillraceError(
            f"jar set {jars.name!r}: Ivy ended with code {ivy.returncode}, missing {', '.join(missing) or 'nothing'}; "
            f"check the network (behind a mirror, set MILLRACE_IVY_SETTINGS) and run it again. "
            f"{log} ends with:\n{_tail(log)}"
        )


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=0.3)
    except subprocess.TimeoutExpired:
        return False
    return True


def _dependency(files: Sequence[Jar]) -> str:
    """One module; where some of its jars have classifiers, each jar is named."""
    org, name, rev = (quoteattr(part) for part in (files[0].group, files[0].artifact, files[0].version))
    dependency = f'<dependency org={org} name={name} rev={rev} transitive="false"'
    if not any(jar.classifier for jar in files):
        return f"{dependency}/>"
    return f"{dependency}>{''.join(_artifact(jar) for jar in files)}</dependency>"


def _artifact(jar: Jar) -> str:
    classifier = f" m:classifier={quoteattr(jar.classifier)}" if jar.classifier else ""
    return f'<artifact name={quoteattr(jar.artifact)} type="jar" ext="jar"{classifier}/>'


def _tail(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-12:])


def _ivy_jar() -> Path:
    pyspark = find_spec("pyspark")  # found, not imported: pyspark takes seconds to load
    folder = Path(pyspark.origin).parent / "jars" if pyspark and pyspark.origin else None
    found = sorted(folder.glob("ivy-*.jar")) if folder else []
    if not found:
        raise MillraceError(f"Ivy: no ivy-*.jar in {folder}; run `make setup`, which installs pyspark")
    return found[-1]
