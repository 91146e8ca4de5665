"""One driver per query: whoever comes second is told who was first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from jobs import lock
from jobs.errors import LockHeldError
from jobs.lake_files import LakeFiles
from jobs.lock import QueryLock

pytestmark = pytest.mark.both_engines

needs_stack = pytest.mark.skipif(sys.version_info < (3, 11), reason="the stack runs on Python 3.11")
ON_AZURE = pytest.param("lake", marks=needs_stack)
# Hadoop's local file system cannot create a file atomically.
on_azure_alone = pytest.mark.parametrize("uri", [ON_AZURE], indirect=True)


@pytest.fixture(params=["local_lake", ON_AZURE])
def uri(request):
    return request.getfixturevalue(request.param).lock("archive__ticks")


@pytest.fixture
def files(spark):
    return LakeFiles(spark)


@pytest.fixture
def driver(files, uri):
    return lambda owner: QueryLock(files, uri, "archive__ticks", owner)


def left_behind(files, uri, **changed):
    """The lock of a driver on another machine that has not been heard of for a minute."""
    long_ago = datetime.now(timezone.utc) - timedelta(seconds=31)
    content = {"owner": "old", "holder": "h", "host": "elsewhere", "pid": 1, "heartbeat_at": long_ago.isoformat()}
    files.replace(uri, json.dumps({**content, "expires_at": long_ago.isoformat(), **changed}))


def let_expire(files, uri):
    """Whoever holds the lock has not been heard of for a minute."""
    held = json.loads(files.read(uri))
    left_behind(files, uri, owner=held["owner"], holder=held["holder"])


def die_within_take_over(one, files, monkeypatch):
    """A driver is killed when it has its successor's file, and before the lock names it."""
    with monkeypatch.context() as crash:
        crash.setattr(files, "replace", lambda uri, text: pytest.fail("killed here"))
        with pytest.raises(pytest.fail.Exception):
            one.acquire()


def all_at_once(drivers):
    """Which of these drivers got the lock, when all ask for it at the same moment."""
    start = threading.Barrier(len(drivers))

    def acquire(one):
        start.wait()
        try:
            one.acquire()
        except LockHeldError:
            return False
        return True

    with ThreadPoolExecutor(len(drivers)) as pool:
        return [one for one, won in zip(drivers, pool.map(acquire, drivers)) if won]


def test_the_second_driver_is_told_who_runs_the_query(driver, uri):
    driver("first").acquire()
    with pytest.raises(LockHeldError) as refused:
        driver("second").acquire()
    message = str(refused.value)
    assert message.startswith("query 'archive__ticks' is run by owner 'first' (host ")
    assert f"pid {os.getpid()}" in message
    assert message.endswith(f"a query has one driver: stop that one, or wait 30 s after its last heartbeat ({uri})")


@on_azure_alone
def test_of_many_drivers_at_once_one_wins(driver):
    assert len(all_at_once([driver(f"driver {number}") for number in range(6)])) == 1


@on_azure_alone
def test_an_expired_lock_is_taken_over_by_one(driver, files, uri):
    left_behind(files, uri)
    (winner,) = all_at_once([driver(f"driver {number}") for number in range(6)])
    winner.renew()


def test_a_driver_that_died_while_it_took_over_is_followed_by_the_next(driver, files, uri, monkeypatch):
    left_behind(files, uri)
    die_within_take_over(driver("killed"), files, monkeypatch)
    with pytest.raises(LockHeldError, match="owner 'killed'"):
        driver("too early").acquire()
    monkeypatch.setattr(lock, "_is_expired", lambda holder: holder["owner"] in ("old", "killed"))
    driver("next").acquire()
    assert json.loads(files.read(uri))["owner"] == "next"


def test_a_fresh_lock_from_elsewhere_is_respected(driver, files, uri):
    soon = datetime.now(timezone.utc) + timedelta(seconds=20)
    left_behind(files, uri, expires_at=soon.isoformat())
    with pytest.raises(LockHeldError, match=r"owner 'old' \(host elsewhere, pid 1"):
        driver("new").acquire()


def test_the_lock_of_a_dead_process_on_this_machine_is_free_at_once(driver, files, uri):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    driver("killed").acquire()
    held = json.loads(files.read(uri))
    files.replace(uri, json.dumps({**held, "pid": ended.pid}))
    driver("new").acquire()
    assert json.loads(files.read(uri))["owner"] == "new"


def test_a_driver_whose_lock_was_taken_over_finds_out_and_leaves_it_alone(driver, files, uri):
    slow = driver("slow")
    slow.acquire()
    let_expire(files, uri)
    driver("quick").acquire()
    with pytest.raises(LockHeldError, match="owner 'quick'"):
        slow.renew()
    slow.release()
    assert json.loads(files.read(uri))["owner"] == "quick"


@pytest.fixture
def overwritten(driver, files, uri, monkeypatch):
    """Two drivers, the first of which slept within its heartbeat until the second had taken over.

    It had seen that the lock was its own, and wrote when it woke up: the lock names it.
    """
    slow, quick = driver("slow"), driver("quick")
    slow.acquire()
    replace = files.replace

    def asleep(uri, text):
        monkeypatch.setattr(files, "replace", replace)
        let_expire(files, uri)
        quick.acquire()
        replace(uri, text)

    monkeypatch.setattr(files, "replace", asleep)
    slow.renew()
    assert json.loads(files.read(uri))["owner"] == "slow"
    return slow, quick


def test_a_driver_that_slept_within_its_heartbeat_does_not_end_its_successor(overwritten, files, uri):
    slow, quick = overwritten
    quick.renew()
    assert json.loads(files.read(uri))["owner"] == "quick"
    with pytest.raises(LockHeldError, match="owner 'quick'"):
        slow.renew()


def test_a_driver_that_slept_within_its_heartbeat_and_ends_leaves_the_lock_to_its_successor(overwritten, files, uri):
    """Its query fails as soon as it wakes up, by the other's commit, before the other's next heartbeat."""
    slow, quick = overwritten
    slow.release()
    quick.renew()
    assert json.loads(files.read(uri))["owner"] == "quick"


def test_a_driver_that_woke_up_does_not_go_on_though_its_successor_has_one_too(driver, files, uri, monkeypatch):
    """The third was killed while it took over: the lock names the second still."""
    first, second = driver("first"), driver("second")
    first.acquire()
    let_expire(files, uri)
    second.acquire()
    let_expire(files, uri)
    die_within_take_over(driver("third"), files, monkeypatch)
    with pytest.raises(LockHeldError, match="owner 'second'"):
        first.renew()


def test_a_heartbeat_prolongs_and_a_release_frees(driver, files, uri):
    first = driver("first")
    first.acquire()
    before = json.loads(files.read(uri))
    first.renew()
    after = json.loads(files.read(uri))
    assert after["expires_at"] > before["expires_at"]
    assert {**after, "expires_at": 0, "heartbeat_at": 0} == {**before, "expires_at": 0, "heartbeat_at": 0}
    first.release()
    assert files.read(uri) is None
    driver("second").acquire()


@pytest.mark.parametrize("torn", ["", '{"owner": "old", "hol'])
def test_a_lock_that_a_crash_cut_off_is_held_until_it_expires(driver, files, uri, torn, monkeypatch):
    """A driver killed in the middle of a heartbeat must not keep the query from running for ever."""
    files.replace(uri, torn)
    with pytest.raises(LockHeldError, match="owner 'unknown'"):
        driver("new").acquire()
    monkeypatch.setattr(lock, "EXPIRY", timedelta(0))
    driver("new").acquire()
    assert json.loads(files.read(uri))["owner"] == "new"
