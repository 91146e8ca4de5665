"""What the commands say and how they end, without a stack."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.errors import MillraceError
from millrace.cli import app, main
from millrace.cli.follow import new_lines

STACK, DATA = ("demo", "up", "down", "status"), ("produce", "replay", "view")
COMMANDS = (
    *STACK,
    *DATA,
    "archive",
    "speed",
    "alerts",
    "replicate",
    "reprocess",
    "repair",
    "versions",
    "compare",
    "switch",
    "rollback",
    "new-pipeline",
    "dead-letters",
    "redecode",
    "explain",
    "late",
    "ledger",
    "accept-loss",
    "remove-speed-rows",
)
Millrace = Callable[..., tuple[int, str, str]]


@pytest.fixture
def millrace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Millrace:
    """Runs a command with an empty data folder; its exit code and what it printed."""
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.delenv("MILLRACE_ENVIRONMENT", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_every_command_of_the_design_is_there() -> None:
    registered = {found.name or (found.callback and found.callback.__name__) for found in app.registered_commands}
    assert registered == set(COMMANDS)
    assert [group.name for group in app.registered_groups] == ["azure"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_examples_in_its_help(command: str, millrace: Millrace) -> None:
    code, out, _ = millrace(command, "--help")
    assert code == 0
    assert f"millrace {command}" in out
    assert "Examples" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("archive", "stock_ticks"),
        ("speed", "stock_high_low", "--stop"),
        ("alerts", "stock_high_low", "--stop"),
        ("replicate",),
        ("replicate", "--check"),
        ("reprocess", "stock_high_low", "2026-11-20"),
        ("view", "stock_high_low"),
        ("versions", "stock_high_low"),
        ("switch", "stock_high_low"),
        ("rollback", "stock_high_low"),
        ("dead-letters", "stock_ticks"),
        ("redecode", "stock_ticks"),
        ("accept-loss", "stock_ticks", "--yes", "--reason", "why"),
        ("remove-speed-rows", "stock_high_low"),
    ],
)
def test_without_a_stack_one_line_says_so_and_names_the_remedy(arguments: tuple[str, ...], millrace: Millrace) -> None:
    code, out, err = millrace(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert "was never started; run `millrace up`" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("archive", "nonsense"), "topic 'nonsense' is not declared"),
        (("speed", "nonsense"), "pipeline 'nonsense' has no folder"),
        (("alerts", "nonsense"), "pipeline 'nonsense' has no folder"),
        (("alerts", "stock_high_low", "--epoch", "1"), "Invalid value"),
        (("replicate", "--stop", "--check"), "each is another thing to do; give one of them"),
        (("replicate", "--check", "--wait", "-1"), "Invalid value"),
        (("view", "nonsense"), "pipeline 'nonsense' has no folder"),
        (("view", "stock_high_low", "--start", "noon"), "--start 'noon' is not a time"),
        (("view", "stock_high_low", "--json", "--csv"), "--json and --csv are both given"),
        (("reprocess", "stock_high_low", "2026-11-20T01:00"), "does not start an interval"),
        (("reprocess", "stock_high_low"), "Missing argument"),
        (("archive", "stock_ticks", "--trigger", "-1"), "Invalid value"),
        (("new-pipeline", "Bad-Name"), "is not lower_snake_case"),
        (("new-pipeline", "stock_high_low"), "jobs/pipelines/stock_high_low exists"),
        (("new-pipeline", "good_name", "--topic", "nonsense"), "topic 'nonsense' is not declared"),
        (("dead-letters", "nonsense"), "topic 'nonsense' is not declared"),
        (("dead-letters", "stock_ticks", "--until", "noon"), "--until 'noon' is not a time"),
        (("redecode", "nonsense"), "topic 'nonsense' is not declared"),
        (("accept-loss", "nonsense"), "topic 'nonsense' is not declared"),
        (("remove-speed-rows", "nonsense"), "'nonsense'"),
        (("nonsense",), "No such command"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], told: str, millrace: Millrace) -> None:
    code, _, err = millrace(*arguments)
    assert code == 2
    assert told in " ".join(err.split())


def test_status_of_an_empty_home_is_a_hint_for_people_and_json_for_scripts(millrace: Millrace) -> None:
    code, out, _ = millrace("status")
    assert (code, out) == (0, "nothing runs; start it with `millrace up`, or see it at work with `millrace demo`\n")
    code, out, _ = millrace("status", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["processes"], found["streams"], found["jobs"], found["airflow"]) == ([], [], [], None)
    assert "run `millrace up`" in found["problem"]


def test_down_of_an_empty_home_changes_nothing(millrace: Millrace, tmp_path: Path) -> None:
    assert millrace("down") == (0, "nothing was running\n", "")
    assert not (tmp_path / "home").exists()


def test_new_lines_of_a_log_are_those_after_what_was_shown() -> None:
    assert list(new_lines([], ["a", "b"])) == ["a", "b"]
    assert list(new_lines(["a", "b"], ["a", "b", "c"])) == ["c"]
    assert list(new_lines(["a", "b", "c"], ["b", "c", "d"])) == ["d"], "the window has moved on"
    assert list(new_lines(["a", "a"], ["a", "a", "a"])) == ["a"]
    assert list(new_lines(["a"], ["x", "y"])) == ["x", "y"], "more was written than the window holds"
    assert list(new_lines(["a"], ["a"])) == []


def test_an_error_of_ours_has_no_traceback(millrace: Millrace) -> None:
    _, _, err = millrace("view", "stock_high_low")
    assert "Traceback" not in err
    assert issubclass(MillraceError, Exception)


def test_help_loads_no_client_of_anything() -> None:
    heavy = ("pyarrow", "confluent_kafka", "azure", "deltalake", "httpx", "airflow", "pyspark", "rich.live")
    code = f"import sys, millrace.cli; print(sorted(set({heavy}) & set(sys.modules)))"
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.monotonic() - began < 5, "half a second on a quiet machine"
