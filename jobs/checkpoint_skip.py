"""Moving the place where a stopped query goes on: what Spark has no call for. Hold the query's lock."""

from __future__ import annotations

import json
from typing import Dict, List, Mapping

from jobs.checkpoint import Checkpoint
from jobs.lake_files import LakeFiles

__all__ = ["note_done", "recover_skip", "skip_to"]


def note_done(files: LakeFiles, uri: str, written: int) -> bool:
    """Notes the last planned micro-batch as done where its sink holds it (`written`); False where it is not so.

    A driver that was killed between the two left it to be done again, which takes records that may be gone. Its state
    was stored before its rows were.
    """
    checkpoint = Checkpoint(files, uri)
    batch, done = checkpoint.newest_planned(), checkpoint.committed()
    if batch < 0 or batch != written or batch in done:
        return False
    planned = checkpoint.planned(batch)
    watermark = planned.watermark if planned else None
    millis = int(watermark.timestamp() * 1000) if watermark else 0
    return files.create(f"{uri}/commits/{batch}", 'v1\n{"nextBatchWatermarkMs":%d}' % millis)


def skip_to(files: LakeFiles, uri: str, topic: str, following: Mapping[int, int]) -> None:
    """Makes the query read these offsets next, whatever its last micro-batch ended with.

    The end of the last micro-batch that is done is where Spark begins the next one; a later one that was planned and
    not written is forgotten, and planned anew. What is to be done is noted first, as a whole: a driver that is killed
    on the way leaves the rest to `recover_skip`.
    """
    checkpoint = Checkpoint(files, uri)
    done = checkpoint.committed()
    path = f"{uri}/offsets/{done[-1]}" if done else f"{uri}/sources/0/0"
    head, _, last = (files.read(path) or "").rpartition("\n")
    offsets: Dict[str, Dict[str, int]] = {**json.loads(last), topic: {str(p): o for p, o in sorted(following.items())}}
    text = f"{head}\n{json.dumps(offsets, separators=(',', ':'))}"
    pending = range((done[-1] if done else -1) + 1, checkpoint.newest_planned() + 1)
    plan = {"delete": [f"{uri}/offsets/{batch}" for batch in pending], "path": path, "text": text}
    files.create(_plan(uri), json.dumps(plan))
    recover_skip(files, uri)


def recover_skip(files: LakeFiles, uri: str) -> None:
    """Does what `skip_to` has noted and has not done yet."""
    text = files.read(_plan(uri))
    if not text:
        return
    plan = json.loads(text)
    deleted: List[str] = plan["delete"]
    for path in deleted:
        files.delete(path)
    files.replace(plan["path"], plan["text"])
    for path in [plan["path"], *deleted]:
        folder, _, name = path.rpartition("/")
        files.delete(f"{folder}/.{name}.crc")  # Hadoop's local file system keeps a checksum beside the file
    files.delete(_plan(uri))


def _plan(uri: str) -> str:
    return f"{uri}/skip.json"
