"""A speed layer's past, written by hand: its log, its checkpoint and its journal, micro-batch by micro-batch."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.accepted_losses import AcceptedLoss, LostRange
from jobs.interval import Interval
from jobs.lake import speed_query, speed_stream
from jobs.lake_files import LakeFiles
from jobs.layers import interval_rows
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.speed_parity import speed_parity
from jobs.windows import Sessions

VERSION = "v1"
NOON = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
FRIDAY = Interval.of(NOON, timedelta(days=1))
_EVENTS = (
    "event struct<symbol: string, event_time: timestamp, price: decimal(18,4), volume: long>, partition int,"
    " offset long, redecoded_at timestamp"
)


def moment(minute):
    return NOON + timedelta(minutes=minute)


class SpeedHistory:
    """Of one partition, from offset 0 on: `minutes[offset]` is the minute after noon of that record's event; its offset
    is also its price. `ends`: where each micro-batch ended; `watermarks`: the minute of each one's watermark, by which
    sessions are closed. No event is late.

    `forgotten`: micro-batches that are nowhere: no row, no line of the journal, no state.
    """

    def __init__(self, spark, lake, minutes, ends, forgotten=(), watermarks=(), pipeline=stock_high_low):
        self.pipeline, self.lake = pipeline, lake
        self._spark, self._files, self._minutes = spark, LakeFiles(spark), minutes
        self._watermarks = list(watermarks) or [None] * len(ends)
        starts = [0, *ends[:-1]]
        counted, written, lines = [], [], []
        for batch, (first, after) in enumerate(zip(starts, ends)):
            if batch in forgotten:
                continue
            counted += range(first, after)
            written.append(self._written(batch, counted, {minutes[offset] for offset in range(first, after)}))
            lines.append(json.dumps(self._line(batch, first, after)))
        log = reduce(DataFrame.unionByName, written)
        log.coalesce(1).write.format("delta").partitionBy("_interval").save(lake.speed(pipeline.name))
        checkpoint = lake.checkpoint(speed_query(pipeline.name), VERSION)
        self._files.create(f"{checkpoint}/metadata", '{"id": "q"}')
        self._files.create(f"{checkpoint}/sources/0/0", "v1\n" + json.dumps(self._offsets(0)))
        folder = lake.progress_folder(speed_stream(pipeline.name, VERSION))
        self._files.create(f"{folder}/2026-11-20.jsonl", "\n".join(lines) + "\n")

    def events(self, offsets):
        rows = [(("A", moment(self._minutes[each]), Decimal(each), 1), 0, each, None) for each in offsets]
        return self._spark.createDataFrame(rows, _EVENTS)

    def change(self, minute, batch):
        """Makes the row that this micro-batch wrote a wrong one."""
        self._edit(
            minute,
            batch,
            lambda log, is_meant: log.withColumn("volume", F.when(is_meant, 99).otherwise(F.col("volume"))),
        )

    def remove(self, minute, batch):
        """As if this micro-batch had not written the row."""
        self._edit(minute, batch, lambda log, is_meant: log.where(~is_meant))

    def accept_loss(self, start, end):
        """Of records that no archive has; they may be of any day."""
        lost = [LostRange(0, start, end, "retention loss", None, FRIDAY.end)]
        loss = AcceptedLoss("id", self.pipeline.topic.name, None, "ada", NOON, "why", {}, {}, lost)
        path = f"{self.lake.accepted_losses(self.pipeline.topic.name)}/id.json"
        self._files.create(path, json.dumps(loss.to_json()))

    def causes(self, archived, coverage):
        """The minutes of Friday that differ, each with its cause, where a run read these offsets."""
        events = self.events(archived)
        batch = interval_rows(events, self.pipeline, FRIDAY)
        offsets = {0: (min(archived), max(archived))}
        found = speed_parity(
            self._spark, self.pipeline, FRIDAY, self.lake, VERSION, events, offsets, {0: coverage}, batch
        )
        start = self.pipeline.row_time
        differences = found["parity"]["differences"]
        return {int(each["key"][start][14:16]): each["cause"] for each in differences}

    def _written(self, batch, counted, minutes):
        """A row of each window that the micro-batch counted an event in, or of each session that it closed."""
        rows = interval_rows(self.events(counted), self.pipeline, FRIDAY)
        if isinstance(self.pipeline.windows, Sessions):
            before, now = (self._watermark(number) or FRIDAY.start for number in (batch - 1, batch))
            end = F.col(self.pipeline.windows.end)
            rows = rows.where((end > F.lit(before)) & (end <= F.lit(now)))
        else:
            rows = rows.where(F.col(self.pipeline.row_time).isin([moment(minute) for minute in minutes]))
        return rows.withColumn("_batch_id", F.lit(batch).cast("long")).withColumn("_version", F.lit(VERSION))

    def _watermark(self, batch):
        minute = self._watermarks[batch] if batch >= 0 else None
        return None if minute is None else moment(minute)

    def _edit(self, minute, batch, edited):
        uri = self.lake.speed(self.pipeline.name)
        log = self._spark.read.format("delta").load(uri)
        rows = edited(
            log, (F.col(self.pipeline.row_time) == F.lit(moment(minute))) & (F.col("_batch_id") == batch)
        ).collect()
        self._spark.createDataFrame(rows, log.schema).write.format("delta").mode("overwrite").save(uri)

    def _line(self, batch, first, after):
        return {
            "batch_id": batch,
            "query_id": "q",
            "timestamp": "2026-11-20T12:00:00.000Z",
            "start_offsets": self._offsets(first),
            "end_offsets": self._offsets(after),
            "watermark": _text(self._watermark(batch)),
            "late_watermark": None,
            "previous_watermark": _text(self._watermark(batch - 1)),
        }

    def _offsets(self, offset):
        return {self.pipeline.topic.name: {"0": offset}}


def _text(time):
    return time and time.isoformat()
