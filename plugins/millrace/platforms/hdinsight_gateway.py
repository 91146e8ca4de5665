"""A cluster's gateway: HTTPS and a login before Livy and YARN's resource manager.

https://livy.apache.org/docs/latest/rest-api.html,
https://hadoop.apache.org/docs/stable/hadoop-yarn/hadoop-yarn-site/ResourceManagerRest.html
"""

from __future__ import annotations

import ssl
import threading
from typing import Any

import httpx
from azure.core.exceptions import ClientAuthenticationError

from jobs.errors import MillraceError
from millrace.platforms.hdinsight_login import GatewayLogin, RenewedAuth

__all__ = ["Gateway"]

_TIMEOUT = httpx.Timeout(60, connect=10)
_REFUSED = (400, 401, 403, 404, 413, 422)


class Gateway:
    """One cluster's. httpx's errors pass through: an answer may come another time."""

    def __init__(self, url: str, login: GatewayLogin, ca_file: str | None = None) -> None:
        self.url = url
        self._login = login
        self._ca_file = ca_file
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def submit_batch(self, body: dict[str, Any]) -> int:
        """Submits a batch to Livy; its number. Raises MillraceError where Livy or the gateway refuses it."""
        answer = self._ask("POST", "/livy/batches", json=body)
        if answer.status_code in _REFUSED:
            raise MillraceError(f"job {body['name']}: {self.url} refuses it: {_told(answer)}")
        return int(answer.raise_for_status().json()["id"])

    def check_livy(self) -> None:
        """Raises an httpx error while Livy does not answer, MillraceError where the login is refused."""
        try:
            answer = self._ask("GET", "/livy/batches", params={"from": 0, "size": 1})
        except ClientAuthenticationError as error:
            told = str(error).partition("\n")[0]
            raise MillraceError(f"{self.url}: Entra gives no token: {told}; correct its Airflow connection") from error
        if answer.status_code in (401, 403):
            raise MillraceError(f"{self.url} refuses the login: {_told(answer)}; correct its Airflow connection")
        answer.raise_for_status()

    def batch(self, number: int) -> dict[str, Any] | None:
        """What Livy says of a batch; None where it knows none of this number."""
        return self._found(self._ask("GET", f"/livy/batches/{number}"))

    def batch_log(self, number: int, lines: int) -> list[str]:
        """The end of what the submission said; never the driver's own output, which runs on the cluster."""
        found = self._found(self._ask("GET", f"/livy/batches/{number}/log", params={"size": lines}))
        return [str(line) for line in found["log"]] if found else []

    def delete_batch(self, number: int) -> bool:
        """Ends a batch and makes Livy forget it. False where Livy knows none of this number (any more)."""
        return self._found(self._ask("DELETE", f"/livy/batches/{number}")) is not None

    def applications(self, tag: str) -> list[dict[str, Any]]:
        """YARN's applications with this tag (in lower case), ended ones too, while YARN remembers them."""
        answer = self._ask("GET", "/yarnui/ws/v1/cluster/apps", params={"applicationTags": tag})
        found = answer.raise_for_status().json()["apps"]
        return list(found["app"]) if found else []

    def kill_application(self, application: str) -> None:
        """Ends an application by force, whether Livy knows it or not."""
        path = f"/yarnui/ws/v1/cluster/apps/{application}/state"
        self._ask("PUT", path, json={"state": "KILLED"}).raise_for_status()

    def _found(self, answer: httpx.Response) -> dict[str, Any] | None:
        return None if answer.status_code == 404 else dict(answer.raise_for_status().json())

    def _ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        return self._connected().request(method, path, **what)

    def _connected(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(
                    base_url=self.url,
                    auth=RenewedAuth(self._login),
                    verify=ssl.create_default_context(cafile=self._ca_file),
                    headers={"X-Requested-By": "millrace"},  # Livy refuses requests without it
                    timeout=_TIMEOUT,
                    trust_env=True,
                )
            return self._client


def _told(answer: httpx.Response) -> str:
    return f"{answer.status_code} {answer.reason_phrase}: {answer.text.strip()[:1000] or 'no reason given'}"
