"""Whether Spark's way to Kafka's brokers is proven: what the last task `reached` of `provision` found, on the lake."""

from __future__ import annotations

from datetime import UTC, datetime

from millrace.environment import Environment
from millrace.supervision.control import Notes

__all__ = ["broker_doubt", "note_broker_check"]

_NOTE = "control/broker_check.json"
_REMEDY = "clear the task `reached` of the DAG `provision`, which proves it and says what stands in the way"


def note_broker_check(notes: Notes, environment: Environment, complaint: str | None) -> None:
    """What was found now; None: every broker is reached."""
    told = {"at": datetime.now(UTC).isoformat(), "kafka": environment.kafka_bootstrap, "complaint": complaint}
    notes.write_json(_NOTE, told)


def broker_doubt(notes: Notes, environment: Environment) -> str | None:
    """Why it is not known that Spark reaches every broker of this environment, and what to do; None where it is, and on
    this machine, where brokers, driver and executors are.

    A stream starts all the same: whoever keeps the environment may know better, or prove it otherwise.
    """
    if environment.platform == "local":
        return None
    found = notes.read_json(_NOTE)
    if found is None or found["kafka"] != environment.kafka_bootstrap:
        return f"nobody has proven that Spark reaches the brokers of {environment.kafka_bootstrap}; {_REMEDY}"
    if found["complaint"]:
        return f"when it was asked last, on {found['at'][:19]} UTC, {found['complaint']}"
    return None
