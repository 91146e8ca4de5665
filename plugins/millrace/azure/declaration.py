"""What a task says of a deployment, turned into a request when it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import UsageError
from millrace.azure.arm import TEMPLATES, TemplateError, compose, read_parameters
from millrace.azure.request import DeploymentRequest, typed_parameters

if TYPE_CHECKING:
    from millrace.azure.hook import ResourceManagerHook

__all__ = ["Declaration"]


@dataclass(frozen=True)
class Declaration:
    """`size` names a parameter file beside the template; `parameters` add to it and win.

    `secrets` maps a secure parameter to the id of the Airflow connection whose password is its value, so that no
    secret is in a DAG, an XCom or a rendered template.
    """

    stem: str
    location: str
    size: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    template: Path = TEMPLATES / "main.json"

    def request(self, hook: ResourceManagerHook) -> DeploymentRequest:
        """The request, tried out here first. Raises TemplateError or UsageError for what cannot be deployed."""
        template = compose(self.template)
        filed = read_parameters(self.template.parent / "parameters" / f"{self.size}.json") if self.size else {}
        values = filed | typed_parameters(template, self.parameters)
        declared = DeploymentRequest(self.stem, self.location, template, values)
        if told := declared.secure_names():
            raise TemplateError(
                f"parameters {', '.join(told)} are secrets; give connections that hold them in `secrets`"
            )
        request = DeploymentRequest(self.stem, self.location, template, values | self._secrets(hook))
        request.evaluated(hook.subscription_id, hook.tenant_id)
        return request

    def _secrets(self, hook: ResourceManagerHook) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, conn_id in self.secrets.items():
            password = hook.get_connection(conn_id).password
            if not password:
                raise UsageError(f"connection {conn_id!r} has no password, and parameter {name!r} takes it from there")
            found[name] = password  # Airflow masks a connection's password itself, in logs and in the UI
        return found
