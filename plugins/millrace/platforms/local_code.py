"""The code of a version on this machine: a folder that is never changed once it is there."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
import zipfile
from pathlib import Path

from jobs.errors import MillraceError

__all__ = ["unpacked"]


def unpacked(content: bytes, root: Path) -> Path:
    """The folder below `root` that holds the files of this zip; made in one step, named after the zip's digest.

    Raises MillraceError where somebody has changed a file in it: drivers would run what no version is.
    """
    folder = root / hashlib.sha256(content).hexdigest()[:16]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if not folder.exists():
            _unpack(archive, folder)
        for name in archive.namelist():
            path = folder / name
            if not path.is_file() or path.read_bytes() != archive.read(name):
                raise MillraceError(f"{path} is not what it was when it was unpacked; remove {folder} and try again")
    return folder


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".draft-"))
    try:
        archive.extractall(draft)
        draft.rename(folder)
    except OSError:
        if not folder.exists():  # else another process was quicker
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
