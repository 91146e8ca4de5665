"""The code of every version, kept on the lake: a version that was run once can be run again after a deploy."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import jobs
from jobs.errors import MillraceError
from jobs.lake import Lake
from jobs.pipelines import find_pipeline
from jobs.version import fingerprint
from millrace.environment import Environment
from millrace.lake.store import LakeStore

__all__ = ["code_of", "package_zip"]

_EPOCH = (1980, 1, 1, 0, 0, 0)


def code_of(environment: Environment, pipeline: str, version: str) -> bytes:
    """The package `jobs` that computes this version of the pipeline (its name), as a zip.

    Where the code here is that version, it is that of here, and is kept on the lake. Raises MillraceError for a
    version that is neither here nor on the lake.
    """
    store, path = LakeStore(environment), Lake("").code(version)
    kept, here = store.read(path), fingerprint(find_pipeline(pipeline))
    if here == version:
        found = package_zip(Path(jobs.__path__[0]))
        if found != kept:
            store.write(path, found)
        return found
    if kept is None:
        raise MillraceError(
            f"pipeline {pipeline!r}: the code of version {version} is not on the lake ({path}), and the code here is"
            f" version {here}; check out the code that is {version} and run its stream once, or run {here}"
        )
    return kept


def package_zip(folder: Path) -> bytes:
    """All files of a package's folder, under its name. The same files make the same bytes, anywhere."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:  # what deflate makes depends on zlib's version
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                name = (Path(folder.name) / path.relative_to(folder)).as_posix()
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), path.read_bytes())
    return written.getvalue()
