"""What is asked of Azure: a template, its parameters, and a name that both give."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from millrace.azure.arm import Deployment, Scope, TemplateError, evaluate

__all__ = ["DeploymentRequest", "typed_parameters"]

_NAME_LENGTH = 64  # Azure's limit


@dataclass(frozen=True)
class DeploymentRequest:
    """A deployment to a subscription. `parameters` are plain values by name, secrets included.

    `stem` begins the deployment's name: what is deployed, such as `millrace-mr-dev`. `standing` are parameters that
    leave alone what is there already: they win, and are no part of the name, which must stay the same at the next try.
    """

    stem: str
    location: str
    template: Mapping[str, Any]
    parameters: Mapping[str, Any]
    standing: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The stem and a hash of template, place and parameters: whoever asks for the same, asks by the same name.

        Azure keeps names readable for many. A secret goes into the hash through scrypt, so that nobody finds it out
        by trying.
        """
        plain = dict(self.parameters)
        hidden = {name: plain.pop(name) for name in self.secure_names()}
        asked = _digest([self.template, self.location, plain])
        salt = f"{self.stem} {asked}".encode()
        secret = hashlib.scrypt(_text(hidden).encode(), salt=salt, n=2**14, r=8, p=1).hex() if hidden else ""
        return f"{self.stem[: _NAME_LENGTH - 17]}-{_digest([asked, secret])[:16]}"

    def secure_names(self) -> list[str]:
        """The names of the parameters given that the template declares as secure."""
        declared = self.template.get("parameters", {})
        secure = {name.lower() for name, rule in declared.items() if rule["type"].lower().startswith("secure")}
        return [name for name in self.parameters if name.lower() in secure]

    def leaving(self, standing: Mapping[str, Any]) -> DeploymentRequest:
        """The same, which leaves alone what stands."""
        return replace(self, standing=dict(standing))

    def body(self) -> dict[str, Any]:
        """What a PUT carries."""
        parameters = {name: {"value": value} for name, value in self._sent().items()}
        properties = {"mode": "Incremental", "template": self.template, "parameters": parameters}
        return {"location": self.location, "properties": properties}

    def evaluated(self, subscription_id: str, tenant_id: str) -> Deployment:
        """What it would create, found out here. Raises TemplateError for what Azure would refuse."""
        return evaluate(self.template, self._sent(), Scope(subscription_id, tenant_id, self.name, self.location))

    def _sent(self) -> dict[str, Any]:
        return {**self.parameters, **self.standing}


def typed_parameters(template: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with texts that Jinja made of numbers, lists and the like read as the types that the template declares.

    Raises TemplateError for a text that is no JSON where the template wants no text.
    """
    declared = template.get("parameters", {})
    return {name: _typed(name, declared.get(name, {}).get("type", "string"), value) for name, value in values.items()}


def _typed(name: str, kind: str, value: Any) -> Any:
    if not isinstance(value, str) or kind.lower() in ("string", "securestring"):
        return value
    try:
        return json.loads(value.lower() if kind.lower() == "bool" else value)
    except ValueError as error:
        raise TemplateError(f"parameter {name!r}: {value!r} is no JSON, and it is of type {kind}: {error}") from error


def _digest(value: Any) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
