"""Open, high, low and close per symbol and minute."""

from datetime import timedelta

from jobs.alerts_topic import Alerts
from jobs.pipeline import Pipeline
from jobs.topics import stock_ticks

stock_high_low = Pipeline(
    name="stock_high_low",
    topic=stock_ticks,
    transform="jobs.pipelines.stock_high_low.transform:high_low",
    key=("symbol", "window_start"),
    row_time="window_start",
    window=timedelta(minutes=1),
    watermark=timedelta(minutes=2),
    interval=timedelta(days=1),
    alerts=Alerts(
        topic="stock_alerts",
        transform="jobs.pipelines.stock_high_low.alerts:large_trades",
        key=("symbol",),
    ),
)
