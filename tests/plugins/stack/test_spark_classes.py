"""The archive of Spark's classes: a driver uses it, and what cannot be used or made stops nobody."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from millrace.home import Home
from millrace.stack import spark_classes
from millrace.stack.jars import fetch_jars
from millrace.stack.spark_classes import class_options, ensure_spark, spark_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def loaded_from(options: list[str], home: Home) -> str:
    """Where a driver's JVM finds the class by which Spark starts it."""
    jars = os.pathsep.join(map(str, fetch_jars("spark", home)))
    conf = {"extraClassPath": jars, "extraJavaOptions": " ".join(["-XX:+UseParallelGC", *options, "-Xlog:class+load"])}
    told = [text for key, value in conf.items() for text in ("--conf", f"spark.driver.{key}={value}")]
    environment = {"PATH": os.environ["PATH"], "SPARK_HOME": str(spark_home())}
    command = [str(spark_home() / "bin" / "spark-submit"), *told, "--version"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return next(line for line in done.stdout.splitlines() if " org.apache.spark.deploy.SparkSubmit " in line)


@pytest.mark.stack
def test_a_driver_takes_its_classes_from_the_archive(home: Home) -> None:
    ensure_spark(home)
    assert not ensure_spark(home), "it is made once"
    options = class_options(home)
    assert "source: shared objects file (top)" in loaded_from(options, home)
    assert ".jar" in loaded_from([], home), "only there would it be found without"


@pytest.mark.stack
def test_an_archive_that_is_damaged_or_of_other_jars_is_passed_over_in_silence(home: Home, tmp_path: Path) -> None:
    damaged = tmp_path / "classes.jsa"
    damaged.write_bytes(b"no archive")
    said = loaded_from([f"-XX:SharedArchiveFile={damaged}", *class_options(home)[1:]], home)
    assert ".jar" in said


def test_an_archive_that_cannot_be_made_is_told_and_stops_nobody(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    failing = tmp_path / "job.py"
    failing.write_text("raise SystemExit('no such luck')", encoding="utf-8")
    monkeypatch.setattr(spark_classes, "jar_files", lambda *_: [tmp_path / "one.jar"])
    monkeypatch.setattr(spark_classes, "_JOB", failing)
    ensure_spark(home)
    assert "no such luck" in caplog.text
    assert class_options(home) == []


def test_checkouts_that_share_the_downloads_keep_each_their_own_archive(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def make(archive: Path, _jars: list[Path], _scratch: Path) -> None:
        archive.write_bytes(b"an archive")

    monkeypatch.setattr(spark_classes, "jar_files", lambda *_: [tmp_path / "one.jar"])
    monkeypatch.setattr(spark_classes, "_run_job", make)
    for checkout in ("one", "other"):
        monkeypatch.setattr(spark_classes, "spark_home", lambda checkout=checkout: tmp_path / checkout)
        ensure_spark(home)
    assert not ensure_spark(home)
    monkeypatch.setattr(spark_classes, "spark_home", lambda: tmp_path / "one")
    assert not ensure_spark(home), "the other checkout has removed it"
