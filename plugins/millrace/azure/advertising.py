"""What Kafka's brokers advertise: their addresses, where a network cannot resolve their names, or these again."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache

from jobs.errors import MillraceError
from millrace.azure.ambari import Ambari
from millrace.azure.arm.compose import TEMPLATES
from millrace.waiting import until

__all__ = ["SCRIPT", "advertise_addresses", "advertise_names"]

SCRIPT = TEMPLATES / "scripts" / "advertise_addresses.sh"
_EVERYWHERE = "0.0.0.0"  # noqa: S104  # in Kafka's configuration; the security group says who gets there
_log = logging.getLogger(__name__)


def advertise_addresses(
    ambari: Ambari,
    behind: Callable[[], Sequence[str]],
    within: timedelta = timedelta(minutes=30),
    poll: timedelta = timedelta(seconds=10),
) -> list[str]:
    """Set it, and restart one after the other the brokers that run without it, or do not run; their names. A second run
    does nothing.

    `behind` tells the partitions whose replicas have not all caught up, asked every `poll`. A broker that runs is
    stopped only when there are none: a partition would be left without enough of them otherwise. One that is down, of a
    run that was cut off, comes first. Raises MillraceError where replicas do not catch up `within` that time, or
    `behind` raises it all the time.
    """
    listeners = ambari.configuration("kafka-broker")["properties"]["listeners"]
    ambari.configure("kafka-broker", {"listeners": _listeners_at(_EVERYWHERE, listeners)})
    content = ambari.configuration("kafka-env")["properties"]["content"]
    ambari.configure("kafka-env", {"content": _with_fragment(content)})
    return _restart(ambari, behind, within, poll)


def advertise_names(
    ambari: Ambari,
    behind: Callable[[], Sequence[str]],
    within: timedelta = timedelta(minutes=30),
    poll: timedelta = timedelta(seconds=10),
) -> list[str]:
    """Undo it, and restart likewise. Where brokers never advertised addresses, their configuration stays as it is.

    Raises MillraceError where kafka-env no longer has the lines as they were put there, too.
    """
    content = ambari.configuration("kafka-env")["properties"]["content"]
    if _mark() in content:
        names = _without_fragment(content)
        listeners = ambari.configuration("kafka-broker")["properties"]["listeners"]
        # First, for without the lines no broker starts that listens at 0.0.0.0: there is nothing to advertise.
        ambari.configure("kafka-broker", {"listeners": _listeners_at("localhost", listeners)})
        ambari.configure("kafka-env", {"content": names})
    return _restart(ambari, behind, within, poll)


def _restart(ambari: Ambari, behind: Callable[[], Sequence[str]], within: timedelta, poll: timedelta) -> list[str]:
    # An earlier run may have been cut off here, between a broker's stop and its start too.
    found = [broker for broker in ambari.brokers() if broker.is_stale or not broker.is_running]
    found.sort(key=lambda broker: broker.is_running)
    for number, broker in enumerate(found):
        if broker.is_running:
            _await_replicas(behind, within, poll)
        _log.info("broker %s (%s) is restarted: %d of %d", broker.host, broker.address, number + 1, len(found))
        ambari.restart(broker)
    return [broker.host for broker in found]


def _await_replicas(behind: Callable[[], Sequence[str]], within: timedelta, poll: timedelta) -> None:
    why = ""

    def have_caught_up() -> bool:
        nonlocal why
        try:
            left = behind()
        except MillraceError as error:  # as while a broker starts: whether they have caught up is not known yet
            _log.warning("%s; asking again", error)
            why = str(error)
            return False
        why = f"{len(left)} partitions: {', '.join(left[:5])}"
        return not left

    if not until(have_caught_up, within, poll):
        raise MillraceError(
            f"Kafka: replicas have not caught up within {within} ({why}), so no further broker is restarted;"
            " see that all brokers run and have disk space, then clear this task"
        )


def _listeners_at(host: str, listeners: str) -> str:
    """`PLAINTEXT://<host>:9092` for `PLAINTEXT://…:9092`; there may be several, with commas.

    For `localhost` Ambari writes each broker's own name.
    """
    parts = [part.strip().rpartition(":") for part in listeners.split(",")]
    return ",".join(f"{place.split('://')[0]}://{host}:{port}" for place, _, port in parts)


def _with_fragment(content: str) -> str:
    """kafka-env with what the script action appends to it, once."""
    return content if _mark() in content else f"{content.rstrip()}\n{_fragment()}"


def _without_fragment(content: str) -> str:
    """Whatever white space is left behind the fragment, which Ambari may trim from the template's end."""
    before, found, after = content.partition(_fragment().rstrip())
    if not found or after.lstrip(" \t\r")[:1] not in ("", "\n"):
        raise MillraceError(
            f"Ambari's kafka-env has the line {_mark()!r}, and others than these after it:\n{_fragment()}"
            "take them out in Ambari (Kafka, Configs, kafka-env template), then clear this task"
        )
    return before + after.lstrip(" \t\r").removeprefix("\n")


def _mark() -> str:
    return _fragment().splitlines()[0]


@cache
def _fragment() -> str:
    return subprocess.run([str(SCRIPT), "fragment"], text=True, capture_output=True, check=True).stdout
