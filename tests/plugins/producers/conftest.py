"""Topics on a real broker. The fixture `kafka` (HOST:PORT) comes from the project's conftest."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping

import pytest
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

MakeTopic = Callable[[Mapping[str, str]], str]


@pytest.fixture
def make_topic(kafka: str) -> MakeTopic:
    admin = AdminClient({"bootstrap.servers": kafka})

    def make(config: Mapping[str, str]) -> str:
        name = f"ticks_{uuid.uuid4().hex[:12]}"
        settings = {"retention.ms": "-1", **config}
        admin.create_topics([NewTopic(name, 3, 1, config=settings)])[name].result(10)
        _await_settings(admin, name)
        return name

    return make


def _await_settings(admin: AdminClient, topic: str) -> None:
    """The controller answers before the broker knows the topic."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    deadline = time.monotonic() + 10
    while True:
        try:
            admin.describe_configs([resource])[resource].result(10)
            return
        except KafkaException:
            assert time.monotonic() < deadline, f"the broker does not know {topic}"
            time.sleep(0.05)


@pytest.fixture
def topic(make_topic: MakeTopic) -> str:
    """An empty topic of three partitions."""
    return make_topic({})


@pytest.fixture
def read_all(kafka: str) -> Callable[[str], list[Message]]:
    """Every record of a topic, up to its end at the time of the call."""

    def read(topic: str) -> list[Message]:
        consumer = Consumer({"bootstrap.servers": kafka, "group.id": "read_all", "enable.auto.commit": False})
        ends = {number: consumer.get_watermark_offsets(TopicPartition(topic, number))[1] for number in range(3)}
        consumer.assign([TopicPartition(topic, number, 0) for number in ends])
        messages: list[Message] = []
        while missing := sum(ends.values()) - len(messages):
            found = consumer.consume(missing, timeout=10)
            assert found, f"{len(messages)} of {ends} read, and nothing for 10 s"
            assert not [message.error() for message in found if message.error()]
            messages += found
        consumer.close()
        return messages

    return read
