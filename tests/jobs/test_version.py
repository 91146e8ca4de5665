"""The fingerprint changes with the answers, and only with them."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from zipfile import ZipFile

import pytest

from jobs.alerts_topic import Alerts
from jobs.errors import UsageError
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topic import Field
from jobs.topics import stock_ticks
from jobs.version import fingerprint

pytestmark = pytest.mark.both_engines

ROOT = Path(__file__).parents[2]
CODE = "def high_low(ticks):\n    return ticks.where('price > 0')\n"
_numbers = itertools.count()


@pytest.fixture
def version_of(tmp_path, monkeypatch):
    """The fingerprint of a pipeline with this source as its transformation; the module's name is always the same."""

    def version(source: str) -> str:
        folder = tmp_path / f"source_{next(_numbers)}"
        folder.mkdir()
        (folder / "fingerprinted.py").write_text(source, encoding="utf-8")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            return fingerprint(dataclasses.replace(stock_high_low, transform="fingerprinted:high_low"))

    return version


@pytest.mark.parametrize(
    "same",
    [
        "# All prices.\n\n" + CODE,
        CODE.replace("0')\n", "0')  # 1 cent at least\n\n\n"),
        CODE.replace("\n", "\r\n"),
        CODE.replace(":\n", ":   \n"),
    ],
)
def test_comments_and_blank_space_do_not_matter(version_of, same):
    assert version_of(same) == version_of(CODE)


@pytest.mark.parametrize(
    "other",
    [
        CODE.replace("> 0", ">= 0"),
        CODE.replace("'price > 0'", "'price > 0 # not a comment'"),
        CODE.replace("    return", "    ticks = ticks\n    return"),
        "LIMIT = 5\n" + CODE,
    ],
)
def test_code_matters(version_of, other):
    assert version_of(other) != version_of(CODE)


@pytest.mark.parametrize(
    "change",
    [
        {"revision": 2},
        {"key": ("symbol",)},
        {"row_time": "window_end"},
        {"window": timedelta(minutes=2)},
        {"watermark": timedelta(minutes=3)},
        {"interval": timedelta(hours=1)},
        {"topic": dataclasses.replace(stock_ticks, max_value_bytes=1000)},
        {"topic": dataclasses.replace(stock_ticks, fields=(*stock_ticks.fields, Field("venue", "string", False)))},
    ],
)
def test_what_decides_the_answers_matters(change):
    assert fingerprint(dataclasses.replace(stock_high_low, **change)) != fingerprint(stock_high_low)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"float_tolerance": 0.5},
        {"alerts": None},
        {"alerts": Alerts("other", "shop.alerts:gone", ("price",))},
        {"topic": dataclasses.replace(stock_ticks, partitions=9)},
        {"topic": dataclasses.replace(stock_ticks, allowed_lateness=timedelta(hours=5))},
    ],
)
def test_what_does_not_decide_the_answers_does_not_matter(change):
    assert fingerprint(dataclasses.replace(stock_high_low, **change)) == fingerprint(stock_high_low)


def test_it_is_the_same_in_every_process_and_on_every_python():
    """A cluster's Python 3.8 must find the checkpoint that Airflow's Python named."""
    code = (
        "from jobs.version import fingerprint; from jobs.pipelines import find_pipeline;"
        "print(fingerprint(find_pipeline('stock_high_low')))"
    )
    pythons = [sys.executable] + [str(p) for p in ROOT.glob(".venv*/bin/python")]
    found = {
        subprocess.run(
            [python, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout.strip()
        for python in pythons
    }
    assert found == {fingerprint(stock_high_low).encode()}


def test_a_missing_source_is_named_with_its_remedy():
    with pytest.raises(
        UsageError, match=r"'no\.such:f' is in no module that can be found; create no/such\.py or correct"
    ):
        fingerprint(dataclasses.replace(stock_high_low, transform="no.such:f"))


def test_a_change_of_a_decoder_is_a_new_version(monkeypatch):
    from jobs import version

    before = fingerprint(stock_high_low)
    first, *others = version.decoder_sources()
    monkeypatch.setattr(version, "decoder_sources", lambda: [first, *others[:-1], others[-1] + "\nchanged = True\n"])
    assert fingerprint(stock_high_low) != before
    monkeypatch.setattr(version, "decoder_sources", lambda: [first + "\n# a comment\n", *others])
    assert fingerprint(stock_high_low) == before
    assert any("def decode_json" in source for source in others)


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def zip_of(folder, target):
    with ZipFile(target, "w") as archive:
        for path in folder.rglob("*.py"):
            archive.write(path, path.relative_to(folder).as_posix())
    return target


# Importing any of it would fail: it is only read.
LIBRARY = {
    "shop/__init__.py": "raise RuntimeError\n",
    "shop/carts/__init__.py": "",
    "shop/carts/transform.py": (
        "import shop.money.rounding\nfrom shop.carts import limits\nfrom . import names\nfrom ..money import rates\n"
        "def total(rows):\n    from shop.late import GRACE\n    return rows\n"
    ),
    "shop/carts/limits.py": "LIMIT = 5\n",
    "shop/carts/names.py": "from .deeper import name\n",
    "shop/carts/deeper.py": "name = 'a'\n",
    "shop/money/__init__.py": "rates = 1\n",
    "shop/money/rounding.py": "HALF = 'up'\n",
    "shop/late.py": "import shop.carts.transform, shop.carts.limits\nGRACE = 1\n",
    "shop/unused.py": "X = 1\n",
    "other/__init__.py": "",
    "other/constants.py": "X = 1\n",
}


@pytest.fixture(params=["folder", "zip"])
def version_of_shop(request, tmp_path, monkeypatch):
    """The fingerprint of a pipeline whose transformation lies in a package, with some of its files changed."""

    def version(changed):
        folder = tmp_path / f"library_{next(_numbers)}"
        write(folder, {**LIBRARY, **changed})
        place = folder if request.param == "folder" else zip_of(folder, folder.with_suffix(".zip"))
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(place))
            return fingerprint(dataclasses.replace(stock_high_low, transform="shop.carts.transform:total"))

    return version


@pytest.mark.parametrize(
    "imported",
    [
        "shop/__init__.py",
        "shop/carts/__init__.py",
        "shop/carts/limits.py",
        "shop/carts/names.py",
        "shop/carts/deeper.py",
        "shop/money/__init__.py",
        "shop/money/rounding.py",
        "shop/late.py",
    ],
)
def test_a_change_in_what_the_transformation_imports_is_a_new_version(version_of_shop, imported):
    assert version_of_shop({imported: LIBRARY[imported] + "changed = True\n"}) != version_of_shop({})
    assert version_of_shop({imported: LIBRARY[imported] + "# a comment\n\n"}) == version_of_shop({})


def test_code_that_moves_to_another_module_is_a_new_version(version_of_shop):
    moved = {"shop/carts/limits.py": "name = 'a'\n", "shop/carts/deeper.py": "LIMIT = 5\n"}
    assert version_of_shop(moved) != version_of_shop({})


@pytest.mark.parametrize("elsewhere", ["shop/unused.py", "other/constants.py", "shop/money/unused.py"])
def test_what_the_transformation_does_not_import_is_no_part_of_it(version_of_shop, elsewhere):
    assert version_of_shop({elsewhere: "changed = True\n"}) == version_of_shop({})


def test_of_jobs_the_declarations_are_no_part_and_constants_are(tmp_path):
    """In a process of its own: `jobs` is imported here already."""
    shutil.copytree(str(ROOT / "jobs"), str(tmp_path / "jobs"), ignore=shutil.ignore_patterns("__pycache__"))
    code = "from jobs.pipeline import Pipeline\nfrom jobs.pipelines.stock_high_low.constants import LIMIT\n"
    transform = tmp_path / "jobs/pipelines/stock_high_low/transform.py"
    write(tmp_path, {"jobs/pipelines/stock_high_low/constants.py": "LIMIT = 1\n"})
    transform.write_text(code + transform.read_text(encoding="utf-8"), encoding="utf-8")

    def version():
        code = (
            "from jobs.version import fingerprint; from jobs.pipelines import find_pipeline;"
            "print(fingerprint(find_pipeline('stock_high_low'))); import sys; assert 'pyspark' not in sys.modules"
        )
        command = [sys.executable, "-S", "-c", code]
        return subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": "."}, stdout=subprocess.PIPE, check=True).stdout

    before = version()
    with (tmp_path / "jobs/pipeline.py").open("a", encoding="utf-8") as declarations:
        declarations.write("more = 1\n")
    assert version() == before
    write(tmp_path, {"jobs/pipelines/stock_high_low/constants.py": "LIMIT = 2\n"})
    assert version() != before
