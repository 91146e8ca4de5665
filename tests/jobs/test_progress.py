"""The progress journal has one line per micro-batch, on both generations of Spark's progress reports."""

from __future__ import annotations

import pytest

from jobs.checkpoint import Checkpoint
from jobs.journal import whole_lines
from jobs.lake import Lake
from jobs.lake_files import LakeFiles
from jobs.progress import ProgressJournal, journal_line

pytestmark = pytest.mark.both_engines

REPORT = {
    "id": "q",
    "batchId": 7,
    "timestamp": "2026-11-20T23:59:59.999Z",
    "numInputRows": 3,
    "sources": [
        {
            "startOffset": {"ticks": {"0": 5}},
            "endOffset": {"ticks": {"0": 8}},
            "latestOffset": {"ticks": {"0": 9}},
        }
    ],
    "eventTime": {"watermark": "2026-11-20T23:50:00.000Z"},
    "stateOperators": [{"numRowsDroppedByWatermark": 2}, {"numRowsDroppedByWatermark": 1}],
    "durationMs": {"addBatch": 12},
}


def test_a_line_says_which_offsets_under_which_watermark():
    assert journal_line(REPORT, "2026-11-20T23:49:00.000Z", "2026-11-20T23:48:00.000Z") == {
        "batch_id": 7,
        "query_id": "q",
        "timestamp": "2026-11-20T23:59:59.999Z",
        "rows": 3,
        "start_offsets": {"ticks": {"0": 5}},
        "end_offsets": {"ticks": {"0": 8}},
        "latest_offsets": {"ticks": {"0": 9}},
        "watermark": "2026-11-20T23:50:00.000Z",
        "late_watermark": "2026-11-20T23:49:00.000Z",
        "previous_watermark": "2026-11-20T23:48:00.000Z",
        "late_rows": 3,
        "duration_ms": {"addBatch": 12},
    }


def test_a_query_without_watermark_or_state_has_none_of_them():
    bare = {key: value for key, value in REPORT.items() if key not in ("eventTime", "stateOperators")}
    line = journal_line(bare, None, None)
    assert (line["watermark"], line["late_rows"]) == (None, 0)


def test_every_micro_batch_of_a_real_query_has_one_line(spark, local_lake, tmp_path):
    files = LakeFiles(spark)
    checkpoint = Checkpoint(files, (tmp_path / "checkpoint").as_uri())
    journal = ProgressJournal(files, local_lake, "counted", checkpoint)
    source = tmp_path / "source"
    source.mkdir()
    query = (
        spark.readStream.schema("value long")
        .json(str(source))
        .writeStream.format("noop")
        .option("checkpointLocation", str(tmp_path / "checkpoint"))
        .start()
    )
    try:
        for rows in (1, 2, 3):
            (source / f"{rows}.json").write_text('{"value": 1}\n' * rows)
            query.processAllAvailable()
            journal.write(query)
            journal.write(query)
    finally:
        query.stop()
    lines = _lines(local_lake, tmp_path)
    assert [line["rows"] for line in lines if line["rows"]] == [1, 2, 3]
    assert len({line["batch_id"] for line in lines}) == len(lines)
    assert {line["query_id"] for line in lines} == {str(query.id)}


def _lines(lake: Lake, tmp_path):
    folder = tmp_path / "lake" / "progress" / "counted"
    return [line for file in sorted(folder.glob("*.jsonl")) for line in whole_lines(file.read_text())]
