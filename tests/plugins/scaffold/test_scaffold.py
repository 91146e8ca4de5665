"""A new pipeline: its files run as they are, and names that would cause trouble later are refused now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.errors import UsageError
from jobs.pipeline import Pipeline
from jobs.topic import Field, Topic
from jobs.topics import stock_ticks
from jobs.version import fingerprint
from millrace.home import PROJECT_ROOT
from millrace.scaffold import scaffold
from tests.dags.parsing import parse_dags

SPARSE = Topic("heart_beats", (Field("at", "timestamp"),), event_time="at")
WIDE = Topic(
    "sensor_readings",
    (
        Field("at", "timestamp"),
        Field("sensor_identifier", "string"),
        *(Field(f"measurement_number_{number}", "decimal(38, 10)") for number in range(12)),
    ),
    event_time="at",
)
LONGEST = 38


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what a scaffold stands on, for processes of their own."""
    others = (Path("jobs", "pipelines", "__init__.py"), Path("pyproject.toml"))
    for path in (*(PROJECT_ROOT / "jobs").glob("*.py"), *(PROJECT_ROOT / other for other in others)):
        copy = tmp_path / path.relative_to(PROJECT_ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "plugins").symlink_to(PROJECT_ROOT / "plugins")
    return tmp_path


def in_project(project: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False, env={"PYTHONPATH": "."}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_declaration_of_a_new_pipeline_is_valid_and_found(project: Path) -> None:
    scaffold("tick_counts", stock_ticks, project)
    code = "from jobs.pipelines import find_pipeline, pipeline_names; from jobs.version import fingerprint; "
    code += "p = find_pipeline('tick_counts'); print(pipeline_names(), p.name, p.key, fingerprint(p))"
    names, _, rest = in_project(project, code).partition(" ")
    assert names == "['tick_counts']"
    assert rest.startswith("tick_counts ('symbol', 'window_start') ")


@pytest.mark.parametrize("topic", [stock_ticks, SPARSE, WIDE], ids=lambda topic: str(topic.name))
def test_the_house_rules_accept_each_file_in_its_place(project: Path, topic: Topic) -> None:
    """As `make lint` has it: a rule of imports depends on where a file lies."""
    for name in ("tick_counts", "a" * LONGEST):
        written = [str(path.relative_to(project)) for path in scaffold(name, topic, project)]
        assert len(written) == 5
        for check in (["check"], ["format", "--diff"]):
            ruff = [str(Path(sys.executable).with_name("ruff")), *check, "--no-cache", *written]
            done = subprocess.run(ruff, cwd=project, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout


def test_airflow_finds_the_dags_of_a_new_pipeline_in_its_file(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = scaffold("tick_counts", stock_ticks, project)[-1]
    (found,) = parse_dags([file], tmp_path_factory.mktemp("airflow"), project).values()
    assert (found["errors"], found["heavy"], found["seen"]) == ({}, [], [])
    assert set(found["dags"]) == {"tick_counts__speed", "tick_counts__batch", "tick_counts__upgrade"}


def test_nothing_is_overwritten_and_nothing_half_written(project: Path) -> None:
    (project / "dags").mkdir()
    (project / "dags" / "tick_counts.py").write_text("mine")
    with pytest.raises(UsageError, match=r"pipeline 'tick_counts': dags/tick_counts.py exists; choose another name"):
        scaffold("tick_counts", stock_ticks, project)
    assert not (project / "jobs" / "pipelines" / "tick_counts").exists()
    assert (project / "dags" / "tick_counts.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("TickCounts", "is not lower_snake_case"),
        ("tick__counts", "is not lower_snake_case"),
        ("2ticks", "is not lower_snake_case"),
        ("../ticks", "is not lower_snake_case"),
        ("x" * (LONGEST + 1), "is not lower_snake_case"),
        ("class", "is a word of Python"),
        ("stock_ticks", "is the name of a topic"),
        ("json", "is the name of an installed Python module"),
        ("airflow", "is the name of an installed Python module"),
    ],
)
def test_a_name_that_cannot_be_module_dag_and_folder_at_once_is_refused(name: str, rule: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rule):
        scaffold(name, stock_ticks, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_scaffolded_declaration_has_the_fields_of_a_pipeline(project: Path) -> None:
    written = scaffold("beat_counts", stock_ticks, project)
    space: dict[str, object] = {}
    exec(compile(written[1].read_text(), str(written[1]), "exec"), space)
    declared = space["beat_counts"]
    assert isinstance(declared, Pipeline)
    assert declared.topic is stock_ticks
    with pytest.raises(UsageError, match="in no module that can be found"):
        fingerprint(declared)  # its transformation lies in the other project
