"""Writing the files of a new pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

from jobs.errors import UsageError
from jobs.topic import Topic
from millrace.scaffold.names import check_name
from millrace.scaffold.values import template_values

__all__ = ["scaffold"]

_PATHS = {
    "pipeline.py.template": "jobs/pipelines/{name}/pipeline.py",
    "transform.py.template": "jobs/pipelines/{name}/transform.py",
    "test.py.template": "tests/pipelines/test_{name}.py",
    "dag.py.template": "dags/{name}.py",
}


def scaffold(name: str, topic: Topic, root: Path) -> list[Path]:
    """Write the files of a pipeline `name` on `topic` below the project folder `root`; their paths.

    Raises UsageError, and writes nothing, where the name breaks a rule or a file of it exists.
    """
    check_name(name)
    texts = {root / path.format(name=name): template for template, path in _PATHS.items()}
    folder = root / "jobs" / "pipelines" / name
    for path in (folder, *texts):
        if path.exists():
            raise UsageError(f"pipeline {name!r}: {path.relative_to(root)} exists; choose another name, or remove it")
    values = template_values(name, topic)
    written = [_write(folder / "__init__.py", "")]
    return written + [_write(path, _rendered(template, values)) for path, template in texts.items()]


def _rendered(template: str, values: Mapping[str, str]) -> str:
    text = files("millrace.scaffold").joinpath("templates", template).read_text(encoding="utf-8")
    return Template(text).substitute(values)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
