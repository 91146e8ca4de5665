"""The small Azure as a whole: its hosts behind the proxy, what its clients must be told, and what was said."""

from __future__ import annotations

import base64
import json
import os
import secrets
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.azure_control_plane.certificates import write_certificates
from tests.azure_control_plane.exchange import Answer, Exchange, Request
from tests.azure_control_plane.faults import Faults
from tests.azure_control_plane.login import LOGIN, Login
from tests.azure_control_plane.prices import PRICES, price_list
from tests.azure_control_plane.proxy import Site, proxy
from tests.azure_control_plane.resource_manager import MANAGEMENT, ResourceManager
from tests.infra.ambari import Ambari

__all__ = ["Azure", "azure_cloud"]

GATEWAYS = "*.azurehdinsight.net"


@dataclass
class Azure:
    """Give `environment` to a process, and `connection` to Airflow, and Azure's clients find this."""

    folder: Path
    faults: Faults = field(default_factory=Faults)
    said: list[Exchange] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tenant, self.subscription = str(uuid.uuid4()), str(uuid.uuid4())
        self.login = Login(self.tenant, str(uuid.uuid4()), secrets.token_urlsafe(24), secrets.token_urlsafe(24))
        self.manager = ResourceManager(self.subscription, self.tenant, self.faults)
        self.ambari = Ambari()
        self.clusters_login, self.clusters_password = "millrace", secrets.token_urlsafe(24)
        self._lock = threading.Lock()

    def connection(self) -> str:
        """An Airflow connection with the service principal, as JSON for an environment variable."""
        extra = {"tenantId": self.tenant, "subscriptionId": self.subscription}
        secret = {"login": self.login.client, "password": self.login.secret}
        return json.dumps({"conn_type": "azure", **secret, "extra": extra})

    def asked(self, method: str, part: str) -> int:
        """How many requests there were with this method and `part` in their path."""
        with self._lock:
            return sum(one.request.method == method and part in one.request.path for one in self.said)

    def waits(self) -> list[tuple[int, float, float]]:
        """For each answer with an error that says when to come back: its status, the seconds that it says, and those
        until the same was asked again. Raises StopIteration where it was not."""
        with self._lock:
            said = list(self.said)
        return [
            (one.answer.status, float(one.answer.headers["Retry-After"]), _next(one, said[number + 1 :]) - one.at)
            for number, one in enumerate(said)
            if one.answer.status >= 400 and "Retry-After" in one.answer.headers
        ]

    def gateway(self, request: Request) -> Answer:
        """The answer of the Kafka cluster's Ambari, which no OpenAPI definition describes."""
        path, query = (
            request.path.removeprefix("/api/v1/clusters"),
            {key: [value] for key, value in request.query.items()},
        )
        given = base64.b64decode(request.headers.get("authorization", "").removeprefix("Basic ")).decode()
        with self._lock:
            if given != f"{self.clusters_login}:{self.clusters_password}":
                return Answer(401, {"message": "Bad credentials"})
            if request.method == "GET":
                return Answer(200, self.ambari.get(path, query))
            return Answer(*self.ambari.put(path, request.body))

    def management(self, request: Request) -> Answer:
        """The answer of management.azure.com. What is planned to go wrong is no answer of ours: it is not recorded
        unless it is one that Azure could give."""
        if lost := self.faults.wait(request, done=False):
            return lost
        answer = self._answered(request)
        self.faults.wait(request, done=True)
        return answer

    def _answered(self, request: Request) -> Answer:
        with self._lock:
            came = time.monotonic()
            self.faults.befall(request)
            planned = self.faults.instead(request, done=False)
            answer = planned or self.login.refused(request) or self.manager(request)
            if planned is None:
                answer = self.faults.instead(request, done=True) or answer
            if answer.status:
                self.said.append(Exchange(request, answer, came))
            return answer


def _next(refused: Exchange, later: list[Exchange]) -> float:
    """When the same was asked again: of all that was asked later, the first with this method and path."""
    same = (refused.request.method, refused.request.path)
    return next(one.at for one in later if (one.request.method, one.request.path) == same)


@contextmanager
def azure_cloud(folder: Path) -> Iterator[Azure]:
    """An Azure with nothing in it, until the end of the block."""
    azure = Azure(folder)
    trusted, served = write_certificates(folder, [MANAGEMENT, LOGIN, PRICES, GATEWAYS])
    sites: Mapping[str, Site] = {
        MANAGEMENT: azure.management,
        LOGIN: azure.login,
        PRICES: price_list,
        GATEWAYS: azure.gateway,
    }
    with proxy(sites, served) as address:
        azure.environment = {
            "HTTPS_PROXY": address,
            "NO_PROXY": "127.0.0.1,localhost",
            "REQUESTS_CA_BUNDLE": str(trusted),
            "SSL_CERT_FILE": str(trusted),
            "AIRFLOW_CONN_AZURE_DEFAULT": azure.connection(),
        }
        before = {name: os.environ.get(name) for name in azure.environment}
        os.environ.update(azure.environment)
        try:
            yield azure
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
