"""Run by spark-submit: writes what the serving view answers in Spark SQL to a folder, as Parquet."""

from __future__ import annotations

import sys

from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.session import start_session, stop_session
from jobs.version import fingerprint
from jobs.view import serving_view


def main(lake: str, folder: str) -> None:
    """`lake` and `folder` are URIs."""
    spark = start_session("the view in Spark SQL")
    try:
        spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")  # the default one has no zone
        serving_view(spark, stock_high_low, Lake(lake), fingerprint(stock_high_low))
        spark.sql(f"SELECT * FROM {stock_high_low.name}").write.parquet(folder)
    finally:
        stop_session()


if __name__ == "__main__":
    main(*sys.argv[1:])
