"""The Airflow DAGs of the pipeline stock_high_low."""

from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.builders import alerts_layer, batch_layer, speed_layer, upgrade

batch_layer(stock_high_low, schedule="0 2 * * *")
speed_layer(stock_high_low)
alerts_layer(stock_high_low)
upgrade(stock_high_low)
