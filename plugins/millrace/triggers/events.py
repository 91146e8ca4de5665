"""What triggers tell their tasks, as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from millrace.platforms.protocol import JobState, JobStatus

__all__ = ["status_from_json", "status_to_json"]


def status_to_json(status: JobStatus) -> dict[str, Any]:
    """The status for a trigger's event."""
    return {
        "state": status.state.value,
        "started_at": status.started_at.isoformat(),
        "ended_at": status.ended_at.isoformat() if status.ended_at else None,
        "exit_code": status.exit_code,
    }


def status_from_json(event: dict[str, Any]) -> JobStatus:
    """The status in a trigger's event."""
    return JobStatus(
        JobState(event["state"]),
        datetime.fromisoformat(event["started_at"]),
        datetime.fromisoformat(event["ended_at"]) if event["ended_at"] else None,
        event["exit_code"],
    )
