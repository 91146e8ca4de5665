"""Lock files say exactly which jars belong to a set."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.errors import MillraceError
from millrace.stack.ivy import ivy_module
from millrace.stack.jar_lock import Jar, load_jar_set

HASH = "0f" * 32


def write(folder: Path, text: str) -> None:
    (folder / "jars.probe.lock").write_text(text)


def test_comments_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    write(tmp_path, f"# why\n\norg.example:thing_2.13:1.0-rc1 {HASH}\n")
    jars = load_jar_set("probe", tmp_path)
    assert jars.jars == (Jar("org.example", "thing_2.13", "1.0-rc1", HASH),)
    assert jars.jars[0].file_name == "thing_2.13-1.0-rc1.jar"


def test_another_hash_is_another_set(tmp_path: Path) -> None:
    write(tmp_path, f"org.example:thing:1.0 {HASH}\n")
    before = load_jar_set("probe", tmp_path).digest
    write(tmp_path, f"# a comment changes nothing\norg.example:thing:1.0 {HASH}\n")
    assert load_jar_set("probe", tmp_path).digest == before
    write(tmp_path, f"org.example:thing:1.0 {'ab' * 32}\n")
    assert load_jar_set("probe", tmp_path).digest != before


@pytest.mark.parametrize("line", ["org.example:thing 1.0", f"org.example:thing:1.0 {HASH[:-1]}", f"../x:y:1 {HASH}"])
def test_an_unsound_line_is_named(tmp_path: Path, line: str) -> None:
    write(tmp_path, f"# first\n{line}\n")
    with pytest.raises(MillraceError, match=r"jars\.probe\.lock, line 2: .*restore the file"):
        load_jar_set("probe", tmp_path)


def test_an_unknown_set_names_the_known_ones(tmp_path: Path) -> None:
    write(tmp_path, f"org.example:thing:1.0 {HASH}\n")
    with pytest.raises(MillraceError, match=r"jar set 'sprak'.*the sets are probe"):
        load_jar_set("sprak", tmp_path)


@pytest.mark.parametrize("name", ["spark", "spark33", "kafka"])
def test_the_sets_of_this_project_name_each_file_once(name: str) -> None:
    files = [jar.file_name for jar in load_jar_set(name).jars]
    assert len(files) == len(set(files)) > 10


def test_ivy_is_asked_for_the_pinned_jars_and_nothing_that_they_depend_on() -> None:
    jars = load_jar_set("spark")
    module = ivy_module(jars)
    assert module.count("<dependency ") == module.count('transitive="false"') == len(jars.jars)
    assert 'org="io.delta" name="delta-storage" rev="4.4.0"' in module
