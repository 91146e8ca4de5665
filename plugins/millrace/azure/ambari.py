"""A cluster's Ambari behind HDInsight's gateway: which brokers there are, and Kafka's configuration and restarts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobs.errors import MillraceError
from millrace.azure.asking import PassingError
from millrace.waiting import until

if TYPE_CHECKING:
    import httpx

__all__ = ["Ambari", "Broker"]

_COMPONENT = "KAFKA_BROKER"
_TIMEOUT_S = 60.0
_TRY_LATER = (408, 429)
_ENDED_BADLY = frozenset({"FAILED", "ABORTED", "TIMEDOUT"})


@dataclass(frozen=True)
class Broker:
    """A Kafka broker by the name that its network resolves, and its address there."""

    host: str
    address: str
    is_stale: bool
    """Whether it runs with another configuration than the one that is set."""
    is_running: bool = True


class Ambari:
    """Ambari of one cluster, at `https://<cluster>.azurehdinsight.net`.

    Methods block, and raise MillraceError; a PassingError where the gateway or Ambari could not answer.

    https://learn.microsoft.com/azure/hdinsight/kafka/apache-kafka-get-started#get-the-apache-zookeeper-and-broker-host-information
    """

    def __init__(self, gateway: str, login: str, password: str, *, poll: timedelta = timedelta(seconds=5)) -> None:
        import httpx

        self._gateway = gateway
        self._poll = poll
        self._client = httpx.Client(
            base_url=f"{gateway}/api/v1/clusters",
            auth=(login, password),
            headers={"X-Requested-By": "ambari"},
            timeout=_TIMEOUT_S,
        )
        self._cluster = str(self._get("")["items"][0]["Clusters"]["cluster_name"])

    def brokers(self) -> list[Broker]:
        """Every Kafka broker, by host name."""
        fields = "HostRoles/host_name,HostRoles/stale_configs,HostRoles/state,host/Hosts/ip"
        path = f"/{self._cluster}/host_components?HostRoles/component_name={_COMPONENT}&fields={fields}"
        found = [
            Broker(
                role["host_name"], one["host"]["Hosts"]["ip"], bool(role["stale_configs"]), role["state"] == "STARTED"
            )
            for one in self._get(path)["items"]
            if (role := one["HostRoles"])
        ]
        return sorted(found, key=lambda broker: broker.host)

    def configuration(self, kind: str) -> dict[str, Any]:
        """What is set for `kind` (kafka-broker, kafka-env): `{"properties", …}`."""
        desired = self._get(f"/{self._cluster}?fields=Clusters/desired_configs")["Clusters"]["desired_configs"]
        path = f"/{self._cluster}/configurations?type={kind}&tag={desired[kind]['tag']}"
        return dict(self._get(path)["items"][0])

    def configure(self, kind: str, changes: Mapping[str, str]) -> bool:
        """Set properties of `kind`; False where they are as they should be. Ambari takes a configuration as a whole,
        under a new tag."""
        old = self.configuration(kind)
        properties = {**old["properties"], **changes}
        if properties == old["properties"]:
            return False
        config = {"type": kind, "tag": f"millrace-{time.time_ns()}", "properties": properties}
        if "properties_attributes" in old:
            config["properties_attributes"] = old["properties_attributes"]
        self._put(f"/{self._cluster}", {"Clusters": {"desired_config": config}})
        return True

    def restart(self, broker: Broker, within: timedelta = timedelta(minutes=15)) -> None:
        """Stop a broker and start it with the configuration that is set; returns when Ambari says that it runs."""
        for state in ("INSTALLED", "STARTED"):
            path = f"/{self._cluster}/hosts/{broker.host}/host_components/{_COMPONENT}"
            context = {"context": f"millrace: Kafka on {broker.host} {state}"}
            answer = self._put(path, {"RequestInfo": context, "Body": {"HostRoles": {"state": state}}})
            if answer:  # none where it is in that state already
                self._await_request(answer["Requests"]["id"], f"broker {broker.host} to {state}", within)

    def _await_request(self, number: int, what: str, within: timedelta) -> None:
        def is_done() -> bool:
            try:
                status = self._get(f"/{self._cluster}/requests/{number}")["Requests"]["request_status"]
            except PassingError:  # the request goes on all the same
                return False
            if status in _ENDED_BADLY:
                raise MillraceError(f"{what}: {status}; see request {number} in Ambari at {self._gateway}")
            return bool(status == "COMPLETED")

        if not until(is_done, within, self._poll):
            raise MillraceError(f"{what}: not done within {within}; see request {number} in Ambari at {self._gateway}")

    def _get(self, path: str) -> dict[str, Any]:
        return dict(self._sent("GET", path).json())

    def _put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        answer = self._sent("PUT", path, body)
        return dict(answer.json()) if answer.content else None

    def _sent(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        import httpx

        try:
            return self._client.request(method, path, json=body).raise_for_status()
        except httpx.HTTPStatusError as error:
            status, text = error.response.status_code, error.response.text[:500]
            kind = PassingError if status >= 500 or status in _TRY_LATER else MillraceError
            raise kind(f"Ambari at {self._gateway}: {method} {path}: {status}: {text}") from None
        except httpx.HTTPError as error:
            raise PassingError(f"Ambari at {self._gateway} does not answer: {error!r}") from error
