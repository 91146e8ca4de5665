"""Small files on the lake, through Hadoop's FileSystem: the one way that every platform's driver has."""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, Callable, List, Optional, Tuple

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

__all__ = ["LakeFiles"]

READ_WITHIN_S = 30


class LakeFiles:
    """Reads and writes small UTF-8 files by URI, with the credentials of the Spark session."""

    def __init__(self, spark: SparkSession) -> None:
        # The gateway is how PySpark itself reaches the JVM; Spark has no public Python API for Hadoop's FileSystem.
        self._path, self._io, self._bounded = _classes(spark.sparkContext._jvm)
        self._conf: Any = spark.sparkContext._jsc.hadoopConfiguration()

    def exists(self, uri: str) -> bool:
        path = self._path(uri)
        return bool(self._system(path).exists(path))

    def is_table(self, uri: str) -> bool:
        """Whether a Delta table lies there: its first commit, or a checkpoint once that is cleaned up.

        The folder of the log alone is what a writer leaves that is about to create the table.
        """
        log = f"{uri}/_delta_log"
        return self.exists(f"{log}/{0:020}.json") or self.exists(f"{log}/_last_checkpoint")

    def read(self, uri: str) -> Optional[str]:
        """The file's text, or None when there is no such file. Reads again what another driver rewrote meanwhile."""
        return self._read_again(lambda: self._read_whole(uri))

    def read_head(self, uri: str, size: int) -> str:
        """The file's first `size` bytes, wherever in a line they end; empty when there is no such file."""
        return self._read_again(lambda: self._read_part(uri, size, from_end=False)) or ""

    def read_tail(self, uri: str, size: int) -> str:
        """The file's last `size` bytes, wherever in a line they begin; empty when there is no such file."""
        return self._read_again(lambda: self._read_part(uri, size, from_end=True)) or ""

    def names(self, uri: str) -> List[str]:
        """Names in a folder; none when there is no such folder."""
        path = self._path(uri)
        try:
            return [str(status.getPath().getName()) for status in self._system(path).listStatus(path)]
        except Py4JJavaError as error:
            if _is_java(error, "java.io.FileNotFoundException"):
                return []
            raise

    def modified_at(self, uri: str) -> Optional[datetime]:
        """When the file was last written, by the storage's clock, or None when there is no such file."""
        path = self._path(uri)
        try:
            millis = self._system(path).getFileStatus(path).getModificationTime()
        except Py4JJavaError as error:
            if _is_java(error, "java.io.FileNotFoundException"):
                return None
            raise
        return datetime.fromtimestamp(millis / 1000, timezone.utc)

    def create(self, uri: str, text: str) -> bool:
        """Creates the file, whole or not at all, if it does not exist. False when it does.

        Of several drivers that create it at once, on Azure Storage, one succeeds; Hadoop's local file system looks
        first and renames then.
        """
        path, draft = self._path(uri), self._path(f"{uri}.{uuid.uuid4().hex}")
        system = self._system(path)
        if system.exists(path):
            return False
        # ABFS looks and then writes without a condition where there is no hierarchical namespace; it renames with one.
        self._write(system.create(draft, False), text)
        try:
            return bool(system.rename(draft, path))
        except Py4JJavaError as error:
            if _is_refused(error):
                return False
            raise
        finally:
            system.delete(draft, False)

    def replace(self, uri: str, text: str) -> None:
        path = self._path(uri)
        self._write(self._system(path).create(path, True), text)

    def append(self, uri: str, text: str) -> None:
        """Appends to the file, which is created when it does not exist."""
        path = self._path(uri)
        system = self._system(path)
        self._write(system.append(path) if system.exists(path) else system.create(path, False), text)

    def delete(self, uri: str) -> None:
        path = self._path(uri)
        self._system(path).delete(path, False)

    def delete_folder(self, uri: str) -> None:
        """Deletes a folder and what it holds, if it exists."""
        path = self._path(uri)
        self._system(path).delete(path, True)

    def _read_again(self, read: Callable[[], str]) -> Optional[str]:
        give_up_at = time.monotonic() + READ_WITHIN_S
        while True:
            try:
                return read()
            except Py4JJavaError as error:
                if _is_java(error, "java.io.FileNotFoundException"):
                    return None
                # Azure Storage reads what was opened, by its ETag: a rewrite after the opening is refused with 412.
                if not _is_refused(error) or time.monotonic() > give_up_at:
                    raise

    def _read_whole(self, uri: str) -> str:
        path = self._path(uri)
        stream = self._system(path).open(path)
        try:
            return str(self._io.toString(stream, "UTF-8"))
        finally:
            stream.close()

    def _read_part(self, uri: str, size: int, from_end: bool) -> str:
        path = self._path(uri)
        system = self._system(path)
        stream = system.open(path)
        try:
            if from_end:
                stream.seek(max(0, system.getFileStatus(path).getLen() - size))
            # No buffer of ours: arrays of bytes go to Java as copies.
            part: bytes = self._io.toByteArray(self._bounded(stream, size))
            return part.decode("utf-8", "replace")
        finally:
            stream.close()

    def _system(self, path: Any) -> Any:
        system = path.getFileSystem(self._conf)
        # The local file system's checksums rule out appending.
        return system.getRawFileSystem() if system.getScheme() == "file" else system

    @staticmethod
    def _write(stream: Any, text: str) -> None:
        try:
            stream.write(bytearray(text.encode("utf-8")))
        finally:
            stream.close()


@lru_cache(maxsize=1)
def _classes(jvm: Any) -> Tuple[Any, Any, Any]:
    """Looked up once: for each part of such a name py4j asks the class path, which has hundreds of jars."""
    apache = jvm.org.apache
    return apache.hadoop.fs.Path, apache.commons.io.IOUtils, apache.commons.io.input.BoundedInputStream


def _is_java(error: Py4JJavaError, class_name: str) -> bool:
    return bool(error.java_exception.getClass().getName() == class_name)


def _is_refused(error: Py4JJavaError) -> bool:
    """Whether Azure Storage refused for what another did meanwhile: 409, a conflict, or 412, a condition not met."""
    cause = error.java_exception
    while cause is not None:
        if cause.getClass().getSimpleName() == "AbfsRestOperationException":
            return bool(cause.getStatusCode() in (409, 412))
        cause = cause.getCause()
    return False
