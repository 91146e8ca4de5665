"""What MirrorMaker finds out a minute after its first start, and does not say clearly."""

from __future__ import annotations

from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.kafka_brokers import quiet_admin
from millrace.replica import Replica

__all__ = ["require_brokers"]

_TIMEOUT_S = 15
_INTERNAL = "mm2-"


def require_brokers(environment: Environment, replica: Replica) -> None:
    """Raises MillraceError where topics are to have more copies than the replica has brokers.

    Only before MirrorMaker has made its topics there: later, brokers may be fewer for a while. A replica that does not
    answer is MirrorMaker's to tell of.
    """
    from confluent_kafka import KafkaError, KafkaException  # here: what only names a job does not load librdkafka

    try:
        found = quiet_admin(replica.bootstrap, replica.options).list_topics(timeout=_TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() == KafkaError._INVALID_ARG:
            raise MillraceError(
                f"environment {environment.name!r}: [replica] has a setting that Kafka's clients refuse:"
                f" {error.args[0].str()}; correct it"
            ) from error
        return
    is_first = not any(name.startswith(_INTERNAL) for name in found.topics)
    if is_first and len(found.brokers) < replica.replication_factor:
        raise MillraceError(
            f"environment {environment.name!r}: replica.replication_factor is {replica.replication_factor}, and"
            f" {replica.bootstrap} has {len(found.brokers)} brokers, one for each copy at most; write a number up to"
            f" {len(found.brokers)}"
        )
