"""Secrets reach a driver by a file, and Kafka's clients by Hadoop's settings: never by Spark's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.connection import CONNECTION, kafka_options, take_connection
from jobs.kafka import read_stream
from jobs.session import SECRECY
from jobs.topics import stock_ticks

pytestmark = pytest.mark.both_engines

KEY = "-----BEGIN PRIVATE KEY-----\nhidden\n-----END PRIVATE KEY-----\n"
JAAS = 'org.example.Plain required username="me" password="hidden, hidden";'


def test_settings_of_the_file_are_hadoops_and_kafkas_but_not_sparks(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "connection.json"
    secrets = {
        "fs.example.key": "hidden-1",
        "millrace.kafka.sasl.jaas.config": JAAS,
        "millrace.kafka.ssl.keystore.key": KEY,
    }
    path.write_text(json.dumps(secrets))
    assert kafka_options(spark) == {}
    spark.conf.set(CONNECTION, str(path))
    for key, value in SECRECY.items():
        spark.conf.set(key, value)
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    try:
        take_connection(spark)
        assert hadoop.get("fs.example.key") == "hidden-1"
        assert kafka_options(spark) == {"sasl.jaas.config": JAAS, "ssl.keystore.key": KEY}
        plan = read_stream(spark, stock_ticks, "127.0.0.1:1", {})._jdf.queryExecution().toString()
        assert "hidden" not in plan
        settings = [*spark.sparkContext.getConf().getAll(), ("sql", str(spark.sql("SET -v").collect()))]
        assert "hidden" not in str(settings)
    finally:
        for key in (CONNECTION, *SECRECY):
            spark.conf.unset(key)
        for name in secrets:
            hadoop.unset(name)


def test_without_a_file_nothing_is_taken(spark: SparkSession) -> None:
    take_connection(spark)
    assert kafka_options(spark) == {}
