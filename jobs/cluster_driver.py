"""The entry point of a job on a YARN cluster: `jobs/driver.py`, whose output and exit code are kept for all to read.

YARN keeps a driver's output on the node that runs it, and afterwards in files of its own that no gateway shows; and it
tells another exit code of a driver that ends before it has a Spark session. So this writes the end of the output to
`driver.log` every few seconds and when the driver ends, and then its exit code to `exit.json`. It is called as
`cluster_driver.py FOLDER …`: the URI of the folder for both files, and the arguments of `driver.py`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any, List

from pyspark import SparkContext

from jobs import driver

__all__ = ["main"]

_EVERY_S = 3.0
_KEPT_BYTES = 256 * 1024


def main(arguments: List[str]) -> int:
    """Runs the driver and returns its exit code."""
    folder = arguments[0]
    output = _Output(f"{folder}/driver.log")
    code = _run(arguments[1:])
    output.close()
    try:
        _write(f"{folder}/exit.json", json.dumps({"code": code}).encode())
    except Exception as error:  # noqa: BLE001 - a storage that is down: YARN tells the code of most ends
        print(f"millrace: exit code {code} is not noted: {error}", file=sys.stderr, flush=True)
    return code


def _run(arguments: List[str]) -> int:
    try:
        return driver.main(arguments)
    except SystemExit as ended:  # argparse refuses the arguments
        return ended.code if isinstance(ended.code, int) else 1
    except Exception:  # noqa: BLE001 - as Python does with whatever is not caught, but before the output is closed
        sys.excepthook(*sys.exc_info())
        return 1


class _Output:
    """What this process writes, its standard output and error, goes where it went before, and its end to `uri`."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._kept = b""
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._is_closing = threading.Event()
        self._before = os.dup(1)
        reading, writing = os.pipe()
        for descriptor in (1, 2):
            os.dup2(writing, descriptor)
        os.close(writing)
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._writer = threading.Thread(target=self._write_often, daemon=True)
        self._reader.start()
        self._writer.start()

    def close(self) -> None:
        """Back to how it was, with everything written."""
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor in (1, 2):
            os.dup2(self._before, descriptor)
        self._reader.join(timeout=5)
        self._is_closing.set()
        self._changed.set()
        self._writer.join(timeout=60)

    def _read(self, reading: int) -> None:
        while True:
            part = os.read(reading, 65536)
            if not part:
                return
            os.write(self._before, part)
            with self._lock:
                self._kept = (self._kept + part)[-_KEPT_BYTES:]
            self._changed.set()

    def _write_often(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            is_last = self._is_closing.is_set()
            with self._lock:
                kept = self._kept
            try:
                _write(self._uri, kept)
            except Exception as error:  # noqa: BLE001 - a storage that is down: the next time it may be up
                os.write(self._before, f"millrace: {self._uri}: {error}\n".encode())
            if is_last:
                return
            self._is_closing.wait(_EVERY_S)


def _write(uri: str, content: bytes) -> None:
    """Through the gateway that YARN's application master opened for this process; no session is needed."""
    SparkContext._ensure_initialized()
    jvm: Any = SparkContext._jvm
    path = jvm.org.apache.hadoop.fs.Path(uri)
    stream = path.getFileSystem(jvm.org.apache.hadoop.conf.Configuration()).create(path, True)
    try:
        stream.write(bytearray(content))
    finally:
        stream.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
