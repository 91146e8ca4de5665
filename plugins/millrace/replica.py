"""The second Kafka cluster, which topics are replicated to: the table `[replica]` of an environment's file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from millrace.credentials import login_of
from millrace.environment_file import Table
from millrace.home import Home
from millrace.kafka_settings import check_kafka_options, with_login
from millrace.stack.kafka import REPLICA, bootstrap

__all__ = ["Replica", "replica_of"]

_OWN = ("bootstrap", "connection", "topics", "groups", "replication_factor", "exactly_once", "tasks", "heap")
_HEAP = re.compile(r"[1-9][0-9]*[mg]")
_MOST = 32_767


@dataclass(frozen=True)
class Replica:
    """Where topics are replicated to, and how.

    `address` is None for the second broker of the local stack in `home`. `settings` are client settings under
    librdkafka's names, without secrets: those are the login and password of the Airflow connection `connection`.
    `topics` empty: all that are declared. `groups`: consumer groups whose offsets are translated and replicated too.
    `replication_factor` is that of the replicated topics and of MirrorMaker's own. `exactly_once` needs brokers of
    Kafka 3.3 or later there. `heap` is that of MirrorMaker's JVM, as Java writes it.
    """

    home: Home
    address: str | None
    settings: Mapping[str, str]
    connection: str | None = None
    topics: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    replication_factor: int = 3
    exactly_once: bool = False
    tasks: int = 1
    heap: str = "512m"

    @property
    def bootstrap(self) -> str:
        """The brokers, `host:port[,host:port]`; raises MillraceError before the local second broker's first start."""
        return self.address or bootstrap(self.home, REPLICA)

    @property
    def is_local_broker(self) -> bool:
        """Whether it is the second broker of the local stack, which is started when it is needed."""
        return self.address is None

    @cached_property
    def options(self) -> Mapping[str, str]:
        """Client settings under librdkafka's names, secrets included."""
        return self.settings if self.connection is None else with_login(self.settings, login_of(self.connection))


def replica_of(file: Table, home: Home, *, is_local: bool) -> Replica | None:
    """What the file says; None where it has no table `[replica]`. Only a local environment may leave `bootstrap` out.

    Raises MillraceError, which names the field, the value and the remedy.
    """
    if "replica" not in file.values:
        return None
    table = file.table("replica")
    own = Table(table.path, table.name, {name: value for name, value in table.values.items() if name not in _OWN})
    settings = own.texts()
    plain = {name: value for name, value in table.values.items() if "." not in name}  # Kafka's settings have dots
    Table(table.path, table.name, plain).refuse_unknown(_OWN)
    check_kafka_options(table, settings)
    address = table.optional_text("bootstrap")
    if not is_local:
        address = table.text("bootstrap", "the second cluster's brokers, host:port[,host:port]")
    return Replica(
        home=home,
        address=address,
        settings=settings,
        connection=table.optional_text("connection"),
        topics=table.names("topics"),
        groups=table.names("groups"),
        replication_factor=table.whole("replication_factor", 3 if address else 1, _MOST),
        exactly_once=table.switch("exactly_once"),
        tasks=table.whole("tasks", 1, _MOST),
        heap=_heap(table),
    )


def _heap(table: Table) -> str:
    heap = table.optional_text("heap") or "512m"
    if not _HEAP.fullmatch(heap):
        raise table.error("heap", heap, 'write it as Java does, "512m" or "2g"')
    return heap
