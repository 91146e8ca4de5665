"""The code of a version as a wheel: what Databricks installs on every machine of a job's cluster."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from pathlib import Path

__all__ = ["ENTRY_POINT", "PACKAGE", "WHEEL", "wheel_of"]

PACKAGE = "millrace_jobs"
ENTRY_POINT = "driver"
WHEEL = f"{PACKAGE}-0.1.0-py3-none-any.whl"
_INFO = f"{PACKAGE}-0.1.0.dist-info"
_ENTRY = Path(__file__).with_name("databricks_files") / "driver_entry.py"
_MODULE = "millrace_databricks_entry"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: millrace-jobs\nVersion: 0.1.0\nRequires-Python: >=3.8\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: millrace\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "entry_points.txt": f"[console_scripts]\n{ENTRY_POINT} = {_MODULE}:main\n",
}


def wheel_of(package: bytes) -> bytes:
    """The wheel of a zip that holds the package `jobs`, with the entry point that Databricks calls.

    The same zip makes the same bytes (https://packaging.python.org/specifications/binary-distribution-format/). Nothing
    is required: pyspark is the runtime's own.
    """
    with zipfile.ZipFile(io.BytesIO(package)) as found:
        files = {name: found.read(name) for name in found.namelist() if not name.endswith("/")}
    files[f"{_MODULE}.py"] = _ENTRY.read_bytes()
    files |= {f"{_INFO}/{name}": text.encode() for name, text in _METADATA.items()}
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{_INFO}/RECORD"] = "\n".join([*lines, f"{_INFO}/RECORD,,", ""]).encode()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as wheel:
        for name, content in files.items():
            wheel.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return written.getvalue()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
