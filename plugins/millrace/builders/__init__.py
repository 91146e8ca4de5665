"""DAG builders: what a pipeline author calls in a file of `dags/`."""

from __future__ import annotations

from millrace.builders.batch import batch_layer
from millrace.builders.maintain import maintain
from millrace.builders.replicate import check_replica, replicate
from millrace.builders.streams import alerts_layer, archive_layer, speed_layer
from millrace.builders.upgrade import upgrade

__all__ = [
    "alerts_layer",
    "archive_layer",
    "batch_layer",
    "check_replica",
    "maintain",
    "replicate",
    "speed_layer",
    "upgrade",
]
