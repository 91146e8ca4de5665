"""Requests to Airflow's REST API, with a token from user and password and errors that say what was refused."""

from __future__ import annotations

from typing import Any

import httpx

from jobs.errors import MillraceError

__all__ = ["AirflowApi", "AirflowApiError"]

_TIMEOUT_S = 60  # longer than the 30 s that Airflow itself waits for its database (infra/local/airflow.cfg)


class AirflowApiError(MillraceError):
    """Airflow refused a request, or did not answer; `status` is the HTTP status, 0 without an answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class AirflowApi:
    """The API below `url`; a token is fetched on the first request and again when it has expired."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._credentials = {"username": user, "password": password}
        self._client = httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON answer to GET `path` (below /api/v2)."""
        return self._call("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer to POST `path`."""
        return self._call("POST", path, json=body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer to PATCH `path`."""
        return self._call("PATCH", path, json=body)

    def _call(self, method: str, path: str, **content: Any) -> Any:
        if "Authorization" not in self._client.headers:
            self._log_in()
        answer = self._send(method, f"/api/v2{path}", **content)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._log_in()
            answer = self._send(method, f"/api/v2{path}", **content)
        return self._checked(answer)

    def _log_in(self) -> None:
        self._client.headers.pop("Authorization", None)
        token = self._checked(self._send("POST", "/auth/token", json=self._credentials))["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **content)
        except httpx.HTTPError as error:
            what = f"Airflow at {self._client.base_url}: {method} {path} got no answer ({error!r})"
            raise AirflowApiError(f"{what}; check `millrace status`", 0) from error

    def _checked(self, answer: httpx.Response) -> Any:
        if answer.is_success:
            return answer.json() if answer.content else None
        request = answer.request
        what = f"Airflow at {self._client.base_url}: {request.method} {request.url.path} was answered"
        raise AirflowApiError(f"{what} {answer.status_code}: {_detail(answer)}", answer.status_code)


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:300] or answer.reason_phrase
