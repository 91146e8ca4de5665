"""HTTP/1.1 as far as a proxy must know it: heads, and where bodies end."""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

__all__ = ["Head", "Request", "copy_body", "read_head"]

_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Head:
    """The first line and the headers, as received (`raw`) and by lower-case name."""

    raw: bytes
    first: str
    headers: dict[str, str]

    @property
    def status(self) -> int:
        return int(self.first.split(" ", 2)[1])


@dataclass(frozen=True)
class Request:
    """`blob` is the path below the container, decoded: `millrace/raw/stock_ticks/_delta_log/…`."""

    method: str
    blob: str
    head: Head

    @classmethod
    def of(cls, head: Head) -> Request:
        method, target, _ = head.first.split(" ", 2)
        parts = unquote(urlsplit(target).path).split("/", 3)
        return cls(method, parts[3] if len(parts) > 3 else "", head)


async def read_head(reader: StreamReader) -> Head | None:
    """The next message's head; None where the connection ends before one."""
    raw = b""
    while not raw.endswith(b"\r\n\r\n"):
        line = await reader.readline()
        if not line:
            return None
        raw += line
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Head(raw, first, {name.strip().lower(): value.strip() for name, _, value in pairs})


async def copy_body(head: Head, reader: StreamReader, writer: StreamWriter | None, *, until_end: bool = False) -> None:
    """Copies the body that `head` announces, or drops it where there is no writer.

    `until_end`: one without a length ends with the connection, as an answer's may.
    """
    if head.headers.get("transfer-encoding", "").lower() == "chunked":
        await _copy_chunks(reader, writer)
    elif "content-length" in head.headers:
        await _copy(reader, writer, int(head.headers["content-length"]))
    elif until_end:
        while data := await reader.read(_CHUNK):
            await _write(writer, data)


async def _copy_chunks(reader: StreamReader, writer: StreamWriter | None) -> None:
    size = -1
    while size:
        line = await reader.readline()
        size = int(line.split(b";")[0], 16)
        await _write(writer, line)
        await _copy(reader, writer, size)
        await _write(writer, await reader.readline())


async def _copy(reader: StreamReader, writer: StreamWriter | None, size: int) -> None:
    while size:
        data = await reader.readexactly(min(size, _CHUNK))
        size -= len(data)
        await _write(writer, data)


async def _write(writer: StreamWriter | None, data: bytes) -> None:
    if writer is not None:
        writer.write(data)
        await writer.drain()
