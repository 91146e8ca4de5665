"""Microsoft Entra ID: tokens for a client's secret or for a workload's assertion. They end, and can be ended."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

from tests.azure_control_plane.exchange import Answer, Request, refusal

__all__ = ["LOGIN", "Login"]

LOGIN = "login.microsoftonline.com"


@dataclass
class Login:
    """One tenant with one principal. `lifetime_s` is what a new token's answer says of it.

    There are no OpenAPI definitions of these endpoints: what a client needs of them is OpenID's discovery document and
    RFC 6749's answers.
    """

    tenant: str
    client: str
    secret: str
    assertion: str
    lifetime_s: int = 3599
    issued: dict[str, float] = field(default_factory=dict)
    """The end of each token, in seconds since 1970."""

    def __call__(self, request: Request) -> Answer:
        """The answer of the login's host."""
        if "/discovery/instance" in request.path:
            return Answer(200, self._instances())
        if request.path.endswith("/.well-known/openid-configuration"):
            return Answer(200, self._discovery())
        if request.path.endswith("/oauth2/v2.0/token"):
            return self._token(request)
        return Answer(404, {"error": "invalid_request", "error_description": f"AADSTS90002: no {request.path}"})

    def issue(self) -> str:
        """A new token."""
        token = secrets.token_urlsafe(24)
        self.issued[token] = time.time() + self.lifetime_s
        return token

    def end_tokens(self) -> None:
        """Every token that was issued until now is refused from now on, whatever its holder was told of its end."""
        self.issued = dict.fromkeys(self.issued, 0.0)

    def refused(self, request: Request) -> Answer | None:
        """The answer to a request whose token is none, or has ended."""
        end = self.issued.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if end is not None and end > time.time():
            return None
        authority = f'Bearer authorization_uri="https://{LOGIN}/{self.tenant}", error="invalid_token"'
        if end is None:
            answer = refusal(401, "InvalidAuthenticationToken", "The access token is invalid.")
        else:
            answer = refusal(401, "ExpiredAuthenticationToken", "The access token expiry UTC time is in the past.")
        return Answer(answer.status, answer.body, {"WWW-Authenticate": authority})

    def _token(self, request: Request) -> Answer:
        form = request.body or {}
        known = form.get("client_secret") == self.secret or form.get("client_assertion") == self.assertion
        if form.get("client_id") != self.client or not known or f"/{self.tenant}/" not in request.path:
            text = "AADSTS7000215: Invalid client secret provided."
            return Answer(401, {"error": "invalid_client", "error_description": text, "error_codes": [7000215]})
        return Answer(200, {"token_type": "Bearer", "expires_in": self.lifetime_s, "access_token": self.issue()})

    def _discovery(self) -> dict[str, object]:
        base = f"https://{LOGIN}/{self.tenant}"
        return {
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            "issuer": f"{base}/v2.0",
        }

    def _instances(self) -> dict[str, object]:
        alias = {"preferred_network": LOGIN, "preferred_cache": "login.windows.net", "aliases": [LOGIN]}
        discovery = f"https://{LOGIN}/{self.tenant}/v2.0/.well-known/openid-configuration"
        return {"tenant_discovery_endpoint": discovery, "api-version": "1.1", "metadata": [alias]}
