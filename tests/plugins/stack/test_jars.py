"""Jars are downloaded once, and only the pinned bytes are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.errors import MillraceError
from millrace.stack.jar_lock import Jar, JarSet
from millrace.stack.jars import ensure_jar_set

CONTENT = {"one-1.0.jar": b"first", "two-2.0.jar": b"second"}
JARS = JarSet(
    "probe",
    tuple(
        Jar("org.example", *name.removesuffix(".jar").split("-"), hashlib.sha256(content).hexdigest())
        for name, content in CONTENT.items()
    ),
    digest="0123456789abcdef",
)


class Registry:
    """Serves `content` into the cache and the target folder, as Ivy does, and counts how often it was asked."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = content
        self.asked = 0

    def retrieve(self, jars: JarSet, cache: Path, target: Path, on_progress: Callable[[int], None]) -> None:
        self.asked += 1
        for done, (name, content) in enumerate(self.content.items(), start=1):
            for folder in (cache / "jars", target):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            on_progress(done)


def folder(downloads: Path) -> Path:
    return downloads / "jars" / f"probe-{JARS.digest}"


def test_a_set_is_downloaded_once(tmp_path: Path) -> None:
    registry = Registry(CONTENT)
    assert ensure_jar_set(JARS, tmp_path, registry.retrieve)
    assert not ensure_jar_set(JARS, tmp_path, registry.retrieve)
    assert registry.asked == 1
    assert {name: (folder(tmp_path) / name).read_bytes() for name in CONTENT} == CONTENT


def test_other_bytes_than_the_pinned_ones_are_refused_and_removed(tmp_path: Path) -> None:
    forged = Registry(CONTENT | {"two-2.0.jar": b"forged"})
    found, pinned = (hashlib.sha256(content).hexdigest() for content in (b"forged", CONTENT["two-2.0.jar"]))
    with pytest.raises(MillraceError, match=rf"two-2\.0\.jar.*{found}.*{pinned}.*was removed.*Run it again"):
        ensure_jar_set(JARS, tmp_path, forged.retrieve)
    assert not list(tmp_path.rglob("two-2.0.jar"))
    assert not folder(tmp_path).exists()
    assert ensure_jar_set(JARS, tmp_path, Registry(CONTENT).retrieve), "an honest registry heals it"


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"sec")])
def test_a_missing_or_truncated_file_is_downloaded_again(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    registry = Registry(CONTENT)
    ensure_jar_set(JARS, tmp_path, registry.retrieve)
    damage(folder(tmp_path) / "two-2.0.jar")
    assert ensure_jar_set(JARS, tmp_path, registry.retrieve)
    assert (folder(tmp_path) / "two-2.0.jar").read_bytes() == b"second"


def test_several_at_once_download_once(tmp_path: Path) -> None:
    registry = Registry(CONTENT)
    with ThreadPoolExecutor(8) as pool:
        changed = list(pool.map(lambda _: ensure_jar_set(JARS, tmp_path, registry.retrieve), range(8)))
    assert sorted(changed) == [False] * 7 + [True]
    assert registry.asked == 1
