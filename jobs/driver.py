"""The entry point of every job on a cluster: `spark-submit jobs/driver.py archive|speed|alerts|reprocess|… …`.

Exit codes: 0 finished, or stopped on request; 1 failed; 2 wrong arguments or declaration; 3 another driver runs the
query; 4 Kafka has lost what the query was to read, and nobody has accepted that.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Optional

from pyspark.sql import SparkSession

from jobs.alerts import start_alerts
from jobs.archive import recent_days, start_archive
from jobs.broker_check import BROKER_CHECK, check_brokers
from jobs.compaction import Compaction
from jobs.declaration import declaration_text
from jobs.errors import DeclarationError, LockHeldError, UsageError
from jobs.interval import Interval
from jobs.lake import (
    RAW_VERSION,
    Lake,
    alerts_query,
    archive_query,
    batch_query,
    redecode_query,
    speed_query,
    speed_stream,
)
from jobs.lake_files import LakeFiles
from jobs.lost_offsets import LostOffsetsError
from jobs.offsets_guard import OffsetsGuard
from jobs.pipeline import Pipeline
from jobs.pipelines import declared_alerts, find_pipeline
from jobs.redecode import redecode
from jobs.reprocess import reprocess
from jobs.session import start_session, stop_session
from jobs.speed import start_speed
from jobs.stream import is_stop_requested, run_stream
from jobs.topics import TOPICS, find_topic
from jobs.version import fingerprint


def main(arguments: Optional[List[str]] = None) -> int:
    """Runs one job and returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (UsageError, DeclarationError) as error:
        return _fail(error, 2)
    except LockHeldError as error:
        return _fail(error, 3)
    except LostOffsetsError as error:
        return _fail(error, 4)
    finally:
        # Threads of the JVM would keep the driver alive for ever.
        stop_session()
    return 0


def run_archive(options: argparse.Namespace) -> None:
    topic = find_topic(options.topic)
    query = archive_query(topic.name)
    spark = start_session(query)
    lake = Lake(options.lake)
    trigger = timedelta(seconds=options.trigger_s)
    run_stream(
        spark,
        query,
        lake.checkpoint(query, RAW_VERSION),
        options.owner,
        lake,
        lambda: start_archive(spark, topic, lake, options.bootstrap, trigger),
        _guard(spark, options, topic.name, Lake("").checkpoint(query, RAW_VERSION), lake.raw(topic.name)),
        Compaction(spark, lake.raw(topic.name), recent_days),
    )


def run_speed(options: argparse.Namespace) -> None:
    pipeline = find_pipeline(options.pipeline)
    _check_version(pipeline, options.version)
    query = speed_stream(pipeline.name, options.version)
    spark = start_session(query)
    lake = Lake(options.lake)
    trigger = timedelta(seconds=options.trigger_s)
    files, since = LakeFiles(spark), datetime.now(timezone.utc)
    note_declaration(files, lake, pipeline, options.version)

    def is_stopping() -> bool:
        return is_stop_requested(files, lake.stop_request(query), options.owner, since)

    run_stream(
        spark,
        query,
        lake.checkpoint(speed_query(pipeline.name), options.version),
        options.owner,
        lake,
        lambda: start_speed(spark, pipeline, options.version, lake, options.bootstrap, trigger, is_stopping),
        _guard(
            spark,
            options,
            pipeline.topic.name,
            Lake("").checkpoint(speed_query(pipeline.name), options.version),
            lake.speed(pipeline.name),
        ),
        Compaction(spark, lake.speed(pipeline.name)),
    )


def run_alerts(options: argparse.Namespace) -> None:
    pipeline = find_pipeline(options.pipeline)
    declared_alerts(pipeline)  # before Spark is started for nothing
    query, topic = alerts_query(pipeline.name), pipeline.topic.name
    spark = start_session(query)
    lake, epoch = Lake(options.lake), timedelta(seconds=options.epoch_s)
    run_stream(
        spark,
        query,
        lake.checkpoint(query, topic),
        options.owner,
        lake,
        lambda: start_alerts(spark, pipeline, lake, options.bootstrap, epoch),
        _guard(spark, options, topic, Lake("").checkpoint(query, topic)),
    )


def _guard(
    spark: SparkSession, options: argparse.Namespace, topic: str, stream: str, sink: Optional[str] = None
) -> OffsetsGuard:
    return OffsetsGuard(spark, topic, options.bootstrap, Lake(options.lake), stream, sink)


def run_reprocess(options: argparse.Namespace) -> None:
    pipeline = find_pipeline(options.pipeline)
    interval = Interval.parse(options.interval, pipeline.interval)
    _check_version(pipeline, options.version)
    spark = start_session(batch_query(pipeline.name))
    lake = Lake(options.lake)
    note_declaration(LakeFiles(spark), lake, pipeline, options.version)
    coverage = {int(partition): offset for partition, offset in json.loads(options.coverage).items()}
    began = datetime.now(timezone.utc).isoformat()
    result = reprocess(spark, pipeline, interval, lake, options.run_id, options.version, options.raw_version, coverage)
    about = {"run": options.run_id, "began_at": began, "interval": interval.id, "version": options.version}
    result = {**about, **_extent(pipeline, interval), "raw_version": options.raw_version, **result}
    newest = lake.newest_result(pipeline.name, options.version, interval.id)
    for uri in (lake.run_result(pipeline.name, options.run_id), newest):
        LakeFiles(spark).replace(uri, json.dumps(result))
    print(f"millrace: {json.dumps(result)}", flush=True)


def _extent(pipeline: Pipeline, interval: Interval) -> Dict[str, Any]:
    """What this version reads for an interval: who certifies and publishes the run may have other code."""
    reads = pipeline.reads(interval)
    return {
        "topic": pipeline.topic.name,
        "interval_end": interval.end.isoformat(),
        "reads": [reads.start.isoformat(), reads.end.isoformat()],
    }


def run_brokers(options: argparse.Namespace) -> None:
    spark = start_session(BROKER_CHECK)
    report = json.dumps(check_brokers(spark, options.brokers.split(","), list(TOPICS)))
    LakeFiles(spark).replace(Lake(options.lake).run_result(BROKER_CHECK, options.run_id), report)
    print(f"millrace: {report}", flush=True)


def run_redecode(options: argparse.Namespace) -> None:
    topic = find_topic(options.topic)
    query = redecode_query(topic.name)
    spark = start_session(query)
    lake = Lake(options.lake)
    result = {"run": options.run_id, "topic": topic.name, **redecode(spark, topic, lake, options.run_id)}
    LakeFiles(spark).replace(lake.run_result(query, options.run_id), json.dumps(result))
    print(f"millrace: {json.dumps(result)}", flush=True)


def note_declaration(files: LakeFiles, lake: Lake, pipeline: Pipeline, version: str) -> None:
    """Before there is a row of this version: whoever reads one may have other code. Whole or not at all, for it is read
    meanwhile, and by then this driver may be dead."""
    files.create(lake.declaration(version), declaration_text(pipeline))


def _check_version(pipeline: Pipeline, version: str) -> None:
    """Raises UsageError where this code is not the version that the rows would be marked with."""
    found = fingerprint(pipeline)
    if found != version:
        raise UsageError(
            f"pipeline {pipeline.name!r}: version {version} was asked for, but the code here is version {found};"
            f" give --version {found}, or run the code of {version}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="driver.py", description=__doc__)
    jobs = parser.add_subparsers(dest="job", required=True)
    archive = jobs.add_parser("archive", help="archive a topic")
    again = jobs.add_parser("redecode", help="decode a topic's dead letters again")
    brokers = jobs.add_parser("brokers", help="prove that Kafka's brokers are reached by their advertised names")
    for job in (archive, again):
        job.add_argument("--topic", required=True)
    speed = jobs.add_parser("speed", help="run a pipeline's speed layer")
    alerts = jobs.add_parser("alerts", help="send a pipeline's alerts as their events come")
    batch = jobs.add_parser("reprocess", help="reprocess one interval from the raw archive")
    for job in (speed, alerts, batch):
        job.add_argument("--pipeline", required=True)
    for job in (speed, batch):
        job.add_argument("--version", required=True, help="the pipeline's fingerprint: jobs.version.fingerprint")
    for job in (archive, speed, alerts):
        job.add_argument("--bootstrap", required=True, help="Kafka brokers, host:port[,host:port]")
        job.add_argument("--owner", required=True, help="who runs this driver: unique per submission")
    alerts.add_argument("--epoch-s", type=float, default=10.0, help="seconds after which real-time mode notes offsets")
    for job, trigger_s in ((archive, 10.0), (speed, 1.0)):
        job.add_argument("--trigger-s", type=float, default=trigger_s, help="seconds from micro-batch to micro-batch")
    batch.add_argument("--interval", required=True, help="the interval's start, such as 20261120T000000Z")
    brokers.add_argument("--brokers", required=True, help="all of them as they advertise themselves, host:port[,…]")
    for job in (batch, again, brokers):
        job.add_argument("--run", dest="run_id", required=True, help="unique name of this run")
    batch.add_argument("--coverage", required=True, help="JSON: the offset below which it is complete, by partition")
    batch.add_argument("--raw-version", type=int, required=True, help="the raw archive's version to read")
    runs = ((archive, run_archive), (speed, run_speed), (batch, run_reprocess), (again, run_redecode))
    for job, run in (*runs, (alerts, run_alerts), (brokers, run_brokers)):
        job.add_argument("--lake", required=True, help="URI of the lake's root")
        job.set_defaults(run=run)
    return parser


def _fail(error: Exception, code: int) -> int:
    print(f"millrace: {error}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
