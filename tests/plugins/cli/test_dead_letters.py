"""`millrace dead-letters` on real Azure Storage, and `millrace redecode` on a platform that behaves."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from millrace.cli import main
from millrace.environment import Environment
from millrace.platforms.protocol import RunningJob, SparkJob
from millrace.supervision.connection import Connection
from tests.plugins.lake.archive_rows import RECEIVED, dead_letter, event, write_archive
from tests.plugins.supervision.fake_platform import FakePlatform, FolderNotes

Millrace = Callable[..., tuple[int, str, str]]
RESULT = {"examined": 1200, "moved": 1001, "still_dead": 199, "changed_reason": 7, "days": {"2026-11-20": 1001}}


@dataclass
class QuickPlatform(FakePlatform):
    """Every job ends at once with `code`, and leaves RESULT where `notes` says."""

    notes: FolderNotes | None = None
    code: int = 0

    def submit(self, job: SparkJob) -> RunningJob:
        running = super().submit(job)
        self.end(running.id, self.code)
        if self.notes and self.code == 0:
            told: dict[str, Any] = {"run": job.owner, "topic": "stock_ticks", **RESULT}
            self.notes.write_json(f"runs/redecode__stock_ticks/{job.owner}.json", told)
        return running


@pytest.fixture
def own_lake(environment: Environment) -> Environment:
    return replace(environment, lake=f"{environment.lake}/{uuid.uuid4().hex}")


@pytest.fixture
def platform(tmp_path: Path) -> QuickPlatform:
    return QuickPlatform(notes=FolderNotes(tmp_path / "notes"))


@pytest.fixture
def millrace(
    own_lake: Environment,
    platform: QuickPlatform,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Millrace:
    """Runs a command on a lake of the test's own; its exit code and what it printed."""
    assert platform.notes is not None
    connection = Connection(own_lake, platform, platform.notes)
    monkeypatch.setattr("millrace.cli.shared.connected", lambda: connection)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def archive(own_lake: Environment) -> None:
    write_archive(
        own_lake,
        event(0, RECEIVED),
        dead_letter(1, b'{"symbol":"[bold]\x1b[2J","price":"x"}', "wrong type: price"),
        dead_letter(2, "💩".encode() * 100, "not a JSON object"),
        dead_letter(3, None, "null value"),
        dead_letter(4, b'{"price":"y"}', "wrong type: price"),
    )


@pytest.mark.usefixtures("archive")
def test_people_see_counts_by_reason_and_the_newest_with_harmless_previews(millrace: Millrace) -> None:
    code, out, _ = millrace("dead-letters", "stock_ticks")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert "wrong type 2 2026-11-20 12:00:00 2026-11-20 12:00:00" in lines
    assert "0 3 2026-11-20 12:00:00 null value null" in lines
    assert r'0 1 2026-11-20 12:00:00 wrong type: price {"symbol":"[bold]\x1b[2J","price":"x"}' in lines
    assert lines[-1] == "stock_ticks: 4 dead letters"


@pytest.mark.usefixtures("archive")
def test_scripts_get_json_and_long_values_are_cut(millrace: Millrace) -> None:
    code, out, _ = millrace("dead-letters", "stock_ticks", "--json", "--limit", "3", "--until", "2026-11-21")
    found = json.loads(out)
    assert code == 0
    assert (found["topic"], found["total"]) == ("stock_ticks", 4)
    assert found["reasons"] == {"wrong type": 2, "not a JSON object": 1, "null value": 1}
    assert [(row["offset"], row["preview"]) for row in found["dead_letters"]] == [
        (4, '{"price":"y"}'),
        (3, None),
        (2, "💩" * 59 + "…"),
    ]


@pytest.mark.usefixtures("archive")
def test_a_reason_and_an_export_go_together(millrace: Millrace, tmp_path: Path) -> None:
    file = tmp_path / "dead.jsonl"
    arguments = ("dead-letters", "stock_ticks", "--reason", "wrong type", "--limit", "1", "--export", str(file))
    code, out, _ = millrace(*arguments)
    assert (code, out.splitlines()[-1]) == (0, f"stock_ticks: 2 dead letters match; 2 written to {file}")
    assert sorted(json.loads(line)["offset"] for line in file.read_text().splitlines()) == [1, 4]
    code, _, err = millrace(*arguments)
    assert (code, err) == (2, f"error: {file} exists; an export overwrites nothing: name another file\n")


@pytest.mark.usefixtures("archive")
def test_nothing_found_is_no_failure(millrace: Millrace) -> None:
    assert millrace("dead-letters", "stock_ticks", "--since", "2027-01-01") == (
        0,
        "stock_ticks: 0 dead letters match\n",
        "",
    )


def test_no_archive_is_one_line_with_the_remedy(millrace: Millrace) -> None:
    code, _, err = millrace("dead-letters", "stock_ticks")
    assert code == 1
    assert err.startswith("error: topic 'stock_ticks' has no archive yet; unpause the DAG 'archive__stock_ticks'")
    assert len(err.splitlines()) == 1


def test_redecode_tells_what_moved_where(millrace: Millrace, platform: QuickPlatform) -> None:
    code, out, _ = millrace("redecode", "stock_ticks")
    assert (code, out.splitlines()) == (
        0,
        [
            "stock_ticks: 1,200 dead letters examined, 1,001 moved into their days,"
            " 199 still dead, 7 of them for another reason",
            "  2026-11-20: 1,001",
        ],
    )
    (job,) = platform.submitted
    told = dict(zip(job.arguments[1::2], job.arguments[2::2], strict=True))
    assert job.arguments[0] == "redecode"
    assert (told["--topic"], told["--run"]) == ("stock_ticks", job.owner)


def test_two_redecodes_are_two_jobs_and_json_is_the_runs_result(millrace: Millrace, platform: QuickPlatform) -> None:
    results = [json.loads(millrace("redecode", "stock_ticks", "--json")[1]) for _ in range(2)]
    assert len({job.name for job in platform.submitted}) == len({result["run"] for result in results}) == 2
    assert results[0]["days"] == RESULT["days"]


def test_a_redecode_that_is_refused_shows_why(millrace: Millrace, platform: QuickPlatform) -> None:
    platform.code, platform.log = 3, ["millrace: query 'redecode__stock_ticks' is run by owner 'x'"]
    code, _, err = millrace("redecode", "stock_ticks")
    assert code == 1
    assert "failed with exit code 3" in err
    assert "is run by owner 'x'" in err
