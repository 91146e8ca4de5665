"""Small files on the lake behave alike on a local folder and on Azure Storage."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from jobs.declaration import declaration_text
from jobs.driver import note_declaration
from jobs.lake import Lake
from jobs.lake_files import LakeFiles
from jobs.pipelines.stock_high_low.pipeline import stock_high_low

pytestmark = pytest.mark.both_engines

needs_stack = pytest.mark.skipif(sys.version_info < (3, 11), reason="the stack runs on Python 3.11")
ON_AZURE = pytest.param("lake", marks=needs_stack)
# Hadoop's local file system cannot create a file atomically.
on_azure_alone = pytest.mark.parametrize("root", [ON_AZURE], indirect=True)


@pytest.fixture(params=["local_lake", ON_AZURE])
def root(request):
    """A folder that does not exist yet, on either storage."""
    return request.getfixturevalue(request.param).root


@pytest.fixture
def files(spark):
    return LakeFiles(spark)


def names_beside(files, uri):
    """Names of the files in the folder of this one."""
    path = files._path(uri)
    return [status.getPath().getName() for status in path.getFileSystem(files._conf).listStatus(path.getParent())]


def test_a_file_is_what_was_written_last(files, root):
    uri = f"{root}/deep/folder/note.json"
    assert files.read(uri) is None
    assert not files.exists(uri)
    files.replace(uri, "Zürich \U0001f4a9\n")
    assert files.read(uri) == "Zürich \U0001f4a9\n"
    files.replace(uri, "")
    assert files.read(uri) == ""
    assert files.exists(uri)
    files.delete(uri)
    assert files.read(uri) is None
    files.delete(uri)


def test_appending_creates_and_then_adds(files, root):
    uri = f"{root}/progress.jsonl"
    files.append(uri, "1\n")
    files.append(uri, "2\n")
    files.append(uri, "ü\n")
    assert files.read(uri) == "1\n2\nü\n"


def test_a_part_of_a_file_is_its_first_or_last_bytes(files, root):
    uri = f"{root}/progress.jsonl"
    files.append(uri, "first\n")
    files.append(uri, "läst\n")
    assert (files.read_head(uri, 6), files.read_tail(uri, 6)) == ("first\n", "läst\n")
    assert files.read_tail(uri, 4) == "\ufffdst\n", "it begins in the middle of a letter"
    assert files.read_head(uri, 100) == files.read_tail(uri, 100) == "first\nläst\n"
    assert files.read_head(f"{root}/other", 6) == files.read_tail(f"{root}/other", 6) == ""


@on_azure_alone
def test_a_file_that_is_rewritten_while_it_is_read_is_read_again(files, root):
    """Azure Storage answers 412 to a reader whose file was rewritten after it had opened it."""
    uri = f"{root}/lock.json"
    files.replace(uri, "0")
    with ThreadPoolExecutor(8) as pool:
        reads = [pool.submit(files.read, uri) for _ in range(150)]
        for number in range(40):
            files.replace(uri, str(number))
    assert {read.result() for read in reads} <= {"", *map(str, range(40))}


@on_azure_alone
def test_a_file_is_created_once_whoever_comes_first(files, root):
    with ThreadPoolExecutor(8) as pool:
        for attempt in range(5):
            uri = f"{root}/{attempt}/lock.json"
            created = list(pool.map(lambda number: files.create(uri, str(number)), range(8)))  # noqa: B023
            assert created.count(True) == 1
            assert files.read(uri) == str(created.index(True))
            assert names_beside(files, uri) == ["lock.json"]


def test_a_declaration_is_read_whole_or_not_at_all_while_a_driver_notes_it(files, root):
    """Hadoop makes a file before it has its content: an upgrade that looked at that moment failed."""
    lake, seen = Lake(root), set()
    with ThreadPoolExecutor(1) as driver:
        for version in map(str, range(10)):
            noting = driver.submit(note_declaration, files, lake, stock_high_low, version)
            while not noting.done():
                seen.add(files.read(lake.declaration(version)))
            noting.result()
            seen.add(files.read(lake.declaration(version)))
    assert seen - {None} == {declaration_text(stock_high_low)}


def test_the_time_of_the_last_write_is_known(files, root):
    assert files.modified_at(f"{root}/a") is None
    files.replace(f"{root}/a", "a")
    assert abs(files.modified_at(f"{root}/a") - datetime.now(timezone.utc)) < timedelta(seconds=30)


def test_a_table_is_told_from_a_folder(files, root):
    files.create(f"{root}/folder/x", "")
    files.create(f"{root}/table/_delta_log/00000000000000000000.json", "")
    assert files.is_table(f"{root}/table")
    assert not files.is_table(f"{root}/folder")
    assert not files.is_table(f"{root}/nothing")
    files.create(f"{root}/cleaned/_delta_log/_last_checkpoint", "{}")
    assert files.is_table(f"{root}/cleaned")


def test_a_table_that_is_about_to_be_created_is_none_yet(files, root):
    files.create(f"{root}/table/_delta_log/.tmp", "")
    assert not files.is_table(f"{root}/table")
