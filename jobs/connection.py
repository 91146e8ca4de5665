"""How a driver gets in: the secrets of Kafka's and the lake's clients, as settings of Hadoop.

A platform hands them over in a file that only the job can read, named by the Spark setting `spark.millrace.connection`,
or among its own `spark.hadoop.*` settings where those are secret. They are in no argument, and in no setting of Spark.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

from pyspark.sql import SparkSession

__all__ = ["CONNECTION", "KAFKA_PREFIX", "kafka_options", "take_connection"]

CONNECTION = "spark.millrace.connection"
KAFKA_PREFIX = "millrace.kafka."


def take_connection(spark: SparkSession) -> None:
    """Takes the settings of the file that the session names, if it names one: a JSON object of texts.

    Executors are given Hadoop's settings with each task, so what is set here reaches them.
    """
    name = spark.conf.get(CONNECTION, "")
    if not name:
        return
    hadoop = _hadoop(spark)
    for key, value in json.loads(Path(name).read_text(encoding="utf-8")).items():
        hadoop.set(key, value)


def kafka_options(spark: SparkSession) -> Dict[str, str]:
    """The settings of Kafka's Java clients beside the brokers: how they encrypt and log in."""
    found = _hadoop(spark).getPropsWithPrefix(KAFKA_PREFIX)
    return {str(name): str(found[name]) for name in found}


def _hadoop(spark: SparkSession) -> Any:
    return spark.sparkContext._jsc.hadoopConfiguration()
