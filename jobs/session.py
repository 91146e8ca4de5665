"""The Spark session of every job: what exactness depends on is set here, the rest comes from the platform."""

from __future__ import annotations

import os

from pyspark.sql import SparkSession

from jobs.connection import take_connection

__all__ = ["EXACTNESS", "SECRECY", "start_session", "stop_session"]

# ANSI: an overflow is an error in both layers, never a wrong number. UTC: intervals and windows are cut in UTC.
EXACTNESS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.streaming.stateStore.providerClass": (
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
    ),
}
# A platform with a RocksDB of its own names the class of its provider.
_STATE_STORE = "spark.millrace.stateStore"

# A source's options are printed with plans, in the UI and in errors: Kafka's login is among them.
SECRECY = {
    "spark.sql.redaction.string.regex": "|".join(
        (
            r'(?i)jaas\.config(=| -> )[^"]*("(\\.|[^"\\])*"[^";]*)*;',
            r"key\.password(=| -> )((?!-----BEGIN)[^\n])*",
            r"-----BEGIN[^-]*PRIVATE KEY-----(?s:.*?)-----END[^-]*-----",
        )
    )
}


def start_session(name: str) -> SparkSession:
    """A session with the settings that the rules of exactness need; the platform's own stay as submitted."""
    builder = SparkSession.builder.appName(name)
    for key, value in {**EXACTNESS, **SECRECY}.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    if store := spark.conf.get(_STATE_STORE, ""):
        spark.conf.set("spark.sql.streaming.stateStore.providerClass", store)
    take_connection(spark)
    return spark


def stop_session() -> None:
    """Stops the session, if one was started. On Databricks it is the cluster's own, and ends with that."""
    spark = SparkSession.getActiveSession()
    if spark is not None and "DATABRICKS_RUNTIME_VERSION" not in os.environ:
        spark.stop()
