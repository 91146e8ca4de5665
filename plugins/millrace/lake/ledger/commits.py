"""The raw table's new commits, read from its log: https://github.com/delta-io/delta/blob/master/PROTOCOL.md

Opening the table would list every file of the archive; its commits name the new ones only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from jobs.lake import Lake
from millrace.lake.store import LakeStore

__all__ = ["Commit", "commit_digest", "commits_after"]


@dataclass(frozen=True)
class Commit:
    """What one version of the raw table changed. Paths are relative to the table.

    `is_plain` is False when it marks rows of a file as deleted (deletion vectors): whole files do not tell then.
    """

    version: int
    added: list[str]
    removed: list[str]
    transactions: dict[str, int]
    is_plain: bool
    digest: str


def commits_after(store: LakeStore, topic: str, version: int) -> list[Commit] | None:
    """Every commit above `version`, oldest first; None when some of them are in the log no more."""
    found: list[Commit] = []
    while content := store.read(_path(topic, version + 1)):
        version += 1
        found.append(_parse(version, content))
    # Commits are removed only below a checkpoint: one above the last commit found tells of others in between.
    return found if _checkpoint(store, topic) <= version else None


def commit_digest(store: LakeStore, topic: str, version: int) -> str | None:
    """A digest of this version's commit, by which to know the table again; None when the log has it no more."""
    content = store.read(_path(topic, version))
    return None if content is None else _digest(content)


def _parse(version: int, content: bytes) -> Commit:
    actions: list[dict[str, Any]] = [json.loads(line) for line in content.splitlines() if line.strip()]
    added, removed = _files(actions, "add"), _files(actions, "remove")
    return Commit(
        version=version,
        added=[unquote(file["path"]) for file in added],
        removed=[unquote(file["path"]) for file in removed],
        transactions={txn["appId"]: int(txn["version"]) for txn in _actions(actions, "txn")},
        is_plain=not any(file.get("deletionVector") for file in added + removed),
        digest=_digest(content),
    )


def _files(actions: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Those that change rows: OPTIMIZE adds and removes files without doing so."""
    return [file for file in _actions(actions, name) if file.get("dataChange", True)]


def _actions(actions: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [action[name] for action in actions if name in action]


def _checkpoint(store: LakeStore, topic: str) -> int:
    newest = store.read_json(f"{Lake('').raw(topic)}/_delta_log/_last_checkpoint")
    return -1 if newest is None else int(newest["version"])


def _path(topic: str, version: int) -> str:
    return f"{Lake('').raw(topic)}/_delta_log/{version:020d}.json"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
