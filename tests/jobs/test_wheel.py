"""The wheel that travels to clusters holds everything and asks for pyspark alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.both_engines

JOBS = Path(__file__).parents[2] / "jobs"
# One event and one dead letter, through the decoder and the transformation that lie in the wheel.
PROGRAM = """
import json, os, jobs
from datetime import datetime, timezone
from pyspark.sql import SparkSession
from jobs.decode import decode
from jobs.layers import transform_events
from jobs.pipelines import find_pipeline
from jobs.session import EXACTNESS

builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
builder = builder.config("spark.driver.extraClassPath", os.environ["MILLRACE_SPARK33_JARS"])
for key, value in EXACTNESS.items():
    builder = builder.config(key, value)
spark, pipeline = builder.getOrCreate(), find_pipeline("stock_high_low")
values = [b'{"symbol":"A","event_time":"2026-11-20T14:30:00Z","price":1.5,"volume":2}', b"\\xff"]
received = datetime(2026, 11, 20, 15, tzinfo=timezone.utc)
rows = [(bytearray(value), received, 0, offset) for offset, value in enumerate(values)]
records = spark.createDataFrame(rows, "value binary, timestamp timestamp, partition int, offset long")
decoded = decode(records, pipeline.topic)
errors = [row["error"] for row in decoded.orderBy("offset").collect()]
(row,) = transform_events(decoded.where("error is null"), pipeline).collect()
print(json.dumps([jobs.__file__, spark.version, errors, row["symbol"], str(row["high"]), row["volume"]]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if sys.version_info < (3, 11):  # what builds it is not on Spark 3.3's Python: `make test-spark33` hands it over
        return Path(os.environ["MILLRACE_WHEEL"])
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=JOBS, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_it_requires_pyspark_alone(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata.get_all("Requires-Dist") == ["pyspark>=3.3.1"]
    assert metadata["Requires-Python"] == ">=3.8"


def test_it_holds_every_module(wheel: Path) -> None:
    expected = {f"jobs/{path.relative_to(JOBS).as_posix()}" for path in JOBS.rglob("*.py")}
    with ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if name.endswith(".py")} == expected


def test_the_driver_runs_from_it(wheel: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    help_text = subprocess.run(
        [sys.executable, "-m", "jobs.driver", "--help"], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    assert b"reprocess" in help_text.stdout


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="on Spark 4.2 the drivers of other tests run from the wheel")
def test_its_decoder_and_its_transformation_run_on_the_oldest_spark(wheel: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(wheel), "PYSPARK_PYTHON": sys.executable}
    environment.update(PYSPARK_DRIVER_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1")
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    place, engine, errors, *row = json.loads(ran.stdout.splitlines()[-1])
    assert place.startswith(str(wheel))
    assert engine.startswith("3.3.")
    assert errors == [None, "invalid UTF-8"]
    assert row == ["A", "1.5000", 2]
