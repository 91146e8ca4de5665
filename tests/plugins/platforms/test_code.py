"""The code of versions: kept on the lake, and run from there when the checkout holds another one."""

from __future__ import annotations

import dataclasses
import sys
import uuid
from datetime import timedelta
from pathlib import Path

import pytest

import jobs
from jobs.errors import MillraceError
from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.version import fingerprint
from millrace.environment import Environment
from millrace.home import PROJECT_ROOT
from millrace.lake.code import code_of, package_zip
from millrace.lake.store import LakeStore
from millrace.platforms.local import LocalPlatform
from millrace.platforms.local_code import unpacked
from millrace.platforms.local_folder import JobFolder
from millrace.platforms.protocol import JobCode, JobState, SparkJob
from millrace.waiting import until
from tests.plugins.platforms.code_copies import TRANSFORM, copied_code, keep

NAME, HERE = stock_high_low.name, fingerprint(stock_high_low)
TELL = (
    "import jobs; from jobs.pipelines import find_pipeline; from jobs.version import fingerprint;"
    f"print(jobs.__path__[0], fingerprint(find_pipeline({NAME!r})))"
)


@pytest.fixture
def lake_here(environment: Environment) -> Environment:
    return dataclasses.replace(environment, lake=f"{environment.lake}/{uuid.uuid4().hex}")


def test_the_same_files_make_the_same_zip_wherever_they_lie(tmp_path: Path) -> None:
    here = package_zip(Path(jobs.__path__[0]))
    copy = copied_code(tmp_path)
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "left.pyc").write_bytes(b"left")
    assert package_zip(copy) == here
    (copy / TRANSFORM).write_text("changed")
    assert package_zip(copy) != here


@pytest.mark.stack
def test_the_code_here_is_kept_when_it_is_run_and_again_when_it_has_changed(lake_here: Environment) -> None:
    store, path = LakeStore(lake_here), Lake("").code(HERE)
    kept = code_of(lake_here, NAME, HERE)
    assert store.read(path) == kept
    store.write(path, b"as it was before something that is no part of the version was changed")
    assert code_of(lake_here, NAME, HERE) == store.read(path) == kept


@pytest.mark.stack
def test_a_job_of_another_version_runs_that_versions_code(lake_here: Environment, tmp_path: Path) -> None:
    other = keep(lake_here, copied_code(tmp_path / "other", (TRANSFORM, 'F.max("price")', 'F.min("price")')))
    assert other != HERE

    def launch(job: SparkJob, _: JobFolder) -> tuple[list[str], dict[str, str]]:
        assert job.code is not None
        tree = unpacked(code_of(lake_here, job.code.pipeline, job.code.version), tmp_path / "code")
        return [sys.executable, "-B", "-c", *job.arguments], {"PYTHONPATH": str(tree)}

    platform = LocalPlatform(tmp_path / "jobs", launch)
    for version in (other, HERE):
        running = platform.submit(SparkJob("query", (TELL,), "me", code=JobCode(NAME, version)))
        assert until(
            lambda running=running: platform.state(running.id).state is JobState.SUCCEEDED, timedelta(minutes=1)
        )
        place, told = platform.logs(running.id, 1)[0].split()
        assert told == version
        assert Path(place).is_relative_to(tmp_path / "code")


@pytest.mark.stack
def test_a_version_whose_code_is_nowhere_is_refused_with_what_to_do(lake_here: Environment) -> None:
    with pytest.raises(MillraceError, match=f"the code of version 0123456789ab is not on the lake.*or run {HERE}"):
        code_of(lake_here, NAME, "0123456789ab")


def test_code_is_unpacked_once_and_not_run_when_somebody_has_changed_it(tmp_path: Path) -> None:
    content = package_zip(PROJECT_ROOT / "jobs")
    folder = unpacked(content, tmp_path)
    assert unpacked(content, tmp_path) == folder
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    (folder / "jobs" / TRANSFORM).write_text("changed")
    with pytest.raises(MillraceError, match=r"transform\.py is not what it was when it was unpacked"):
        unpacked(content, tmp_path)
