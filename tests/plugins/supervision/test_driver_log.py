"""Finding the line that explains."""

from __future__ import annotations

import pytest

from millrace.supervision.driver_log import error_line, excerpt

FRAMES = [f"\tat org.apache.spark.Call{number}.run(Call.scala:{number})" for number in range(200)]
PY4J = [
    "py4j.protocol.Py4JJavaError: An error occurred while calling o199.save.",
    ": io.delta.exceptions.ProtocolChangedException: [DELTA_PROTOCOL_CHANGED] two writers",
    *FRAMES,
    "\t... 12 more",
]


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (PY4J, "io.delta.exceptions.ProtocolChangedException: [DELTA_PROTOCOL_CHANGED] two writers"),
        (["Caused by: java.io.IOException: disk full", *FRAMES], "Caused by: java.io.IOException: disk full"),
        (["Traceback:", "  at x", "jobs.errors.UsageError: why", "bye"], "jobs.errors.UsageError: why"),
        (
            ["millrace: query q runs: id 1", "millrace: topic 'x' is not declared", "WARN bye"],
            "millrace: topic 'x' is not declared",
        ),
        (
            ["driver.py: error: the following arguments are required: --lake"],
            "driver.py: error: the following arguments are required: --lake",
        ),
        (["2026 ERROR Task: boom", "ok"], "2026 ERROR Task: boom"),
        (["millrace: query q runs: id 1", "WARN slow"], "its log tells of no error"),
        ([], "its log tells of no error"),
    ],
)
def test_the_line_that_explains_is_found(log: list[str], line: str) -> None:
    assert error_line(log) == line


def test_java_frames_do_not_push_the_error_out_of_sight() -> None:
    assert excerpt(["before", *PY4J]) == ["before", *PY4J[:2]]
    assert len(excerpt([str(number) for number in range(100)])) == 60
