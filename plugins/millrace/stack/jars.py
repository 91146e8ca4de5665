"""Jar sets on this machine: downloaded once, checked against their lock file, shared by every home."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from jobs.errors import MillraceError
from millrace.home import Home
from millrace.stack import ivy
from millrace.stack.file_lock import exclusive
from millrace.stack.jar_lock import Jar, JarSet, load_jar_set, sha256
from millrace.stack.progress import progress

__all__ = ["ensure_jars", "fetch_jar_set", "fetch_jars", "jar_files", "jar_set_files"]

Retrieve = Callable[[JarSet, Path, Path, Callable[[int], None]], None]


def fetch_jars(name: str, home: Home | None = None) -> list[Path]:
    """The jars of the set `name` ("spark", "kafka", "spark33", "hdinsight"), downloaded when they are not here yet.

    Raises MillraceError when a jar cannot be had or its SHA-256 is not the pinned one.
    """
    return fetch_jar_set(load_jar_set(name), (home or Home.current()).downloads)


def fetch_jar_set(jars: JarSet, downloads: Path) -> list[Path]:
    """As `fetch_jars`, for a set and a download folder at hand."""
    ensure_jar_set(jars, downloads)
    return _files(jars, downloads)


def ensure_jars(name: str, home: Home | None = None) -> bool:
    """Download the set `name`; False where it is here already. Raises as `fetch_jars`."""
    return ensure_jar_set(load_jar_set(name), (home or Home.current()).downloads)


def jar_files(name: str, home: Home | None = None) -> list[Path]:
    """The jars of the set `name`, which must have been fetched before; raises MillraceError otherwise."""
    return jar_set_files(load_jar_set(name), (home or Home.current()).downloads)


def jar_set_files(jars: JarSet, downloads: Path) -> list[Path]:
    """As `jar_files`, for a set and a download folder at hand."""
    folder = _folder(jars, downloads)
    if not _is_complete(folder):
        raise MillraceError(f"jar set {jars.name!r}: {folder} is missing or incomplete; run `millrace up`")
    return _files(jars, downloads)


def ensure_jar_set(jars: JarSet, downloads: Path, retrieve: Retrieve = ivy.retrieve) -> bool:
    """As `ensure_jars`, for a set and a download folder at hand; `retrieve` puts the files into a folder."""
    folder = _folder(jars, downloads)
    if _is_complete(folder):
        return False
    with exclusive(downloads / f"jars.{jars.name}.lock"):
        if _is_complete(folder):  # another process was quicker
            return False
        _download(jars, folder, downloads / f"ivy-{jars.name}", retrieve)
    return True


def _files(jars: JarSet, downloads: Path) -> list[Path]:
    return [_folder(jars, downloads) / jar.file_name for jar in jars.jars]


def _folder(jars: JarSet, downloads: Path) -> Path:
    return downloads / "jars" / f"{jars.name}-{jars.digest}"


def _download(jars: JarSet, folder: Path, cache: Path, retrieve: Retrieve) -> None:
    staging = folder.with_name(f".{folder.name}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    with progress(f"Downloading {len(jars.jars)} jars for {jars.name}", total=len(jars.jars)) as on_progress:
        retrieve(jars, cache, staging, on_progress)
    for jar in jars.jars:
        _verify(jar, staging / jar.file_name, cache)
    sizes = {jar.file_name: (staging / jar.file_name).stat().st_size for jar in jars.jars}
    (staging / "complete.json").write_text(json.dumps(sizes, indent=1), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    staging.rename(folder)
    shutil.rmtree(cache, ignore_errors=True)  # it holds a second copy of every jar


def _verify(jar: Jar, path: Path, cache: Path) -> None:
    found = sha256(path)
    if found == jar.sha256:
        return
    path.unlink()
    for copy in cache.rglob(jar.file_name):
        copy.unlink()
    raise MillraceError(
        f"{jar.file_name} ({jar.group}): SHA-256 is {found}, the lock file pins {jar.sha256}; the file was removed. "
        f"Run it again; if it happens twice, the registry or a proxy serves other bytes: do not use them"
    )


def _is_complete(folder: Path) -> bool:
    """Whether every file is there in the size that it had when its hash was checked."""
    stamp = folder / "complete.json"
    if not stamp.exists():
        return False
    sizes: dict[str, int] = json.loads(stamp.read_text(encoding="utf-8"))
    return all((folder / name).exists() and (folder / name).stat().st_size == size for name, size in sizes.items())
