"""Deployments to a subscription, through Microsoft's SDK; answers are Azure's own JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from millrace.azure.asking import Asking, PassingError, RefusedError, code_of
from millrace.azure.failures import shown
from millrace.azure.request import DeploymentRequest

if TYPE_CHECKING:
    from azure.mgmt.resource.deployments import DeploymentsMgmtClient

    from millrace.azure.hook import ResourceManagerHook

__all__ = ["Deployments"]

_SEGMENT = "/providers/Microsoft.Resources/deployments/"
_POLL_S = 5  # between looks at a what-if, unless Azure says how long


class Deployments:
    """What one connection may see. Every method blocks, and raises RefusedError or PassingError."""

    def __init__(self, hook: ResourceManagerHook) -> None:
        self._subscription_id = hook.subscription_id
        self._azure: Asking[DeploymentsMgmtClient] = Asking(hook.deployments)

    def id_of(self, name: str) -> str:
        """The resource id of a deployment to the subscription."""
        return f"/subscriptions/{self._subscription_id}{_SEGMENT}{name}"

    def find(self, name: str) -> Mapping[str, Any] | None:
        """The deployment of that name; None where there is none."""
        return self._azure.find(
            f"deployment {name}", lambda client: dict(client.deployments.get_at_subscription_scope(name).as_dict())
        )

    def validate(self, request: DeploymentRequest) -> None:
        """Asks Azure whether it would take the request. Raises RefusedError, with the innermost reason."""
        what = f"deployment {request.name}: validation"

        def ask(client: DeploymentsMgmtClient) -> dict[str, Any]:
            from azure.mgmt.resource.deployments.models import Deployment

            begin = client.deployments.begin_validate_at_subscription_scope
            return begin(request.name, Deployment(request.body()), polling_interval=_POLL_S).result().as_dict()

        result = self._azure.ask(what, ask)
        if result.get("error"):
            raise RefusedError(f"{what}: {shown(result['error'])}; correct the template or its parameters")

    def what_if(self, request: DeploymentRequest) -> list[Mapping[str, Any]]:
        """What Azure foresees, a change per resource."""
        what = f"deployment {request.name}: what-if"

        def ask(client: DeploymentsMgmtClient) -> dict[str, Any]:
            from azure.mgmt.resource.deployments.models import DeploymentWhatIf

            begin = client.deployments.begin_what_if_at_subscription_scope
            return begin(request.name, DeploymentWhatIf(request.body()), polling_interval=_POLL_S).result().as_dict()

        result = self._azure.ask(what, ask)
        if result.get("error"):
            raise RefusedError(f"{what}: {shown(result['error'])}")
        return list((result.get("properties") or {}).get("changes") or ())

    def begin(self, request: DeploymentRequest) -> None:
        """Starts the deployment, or leaves the one of the same name that is running."""

        def put(client: DeploymentsMgmtClient) -> None:
            from azure.mgmt.resource.deployments.models import Deployment

            body = Deployment(request.body())
            client.deployments.begin_create_or_update_at_subscription_scope(request.name, body, polling=False)

        try:
            self._azure.ask(f"deployment {request.name}", put)
        except PassingError as error:
            if code_of(error) != "DeploymentActive":  # another worker was quicker, or an answer was lost on its way
                raise

    def operations(self, deployment_id: str) -> list[Mapping[str, Any]]:
        """The operations of a deployment, nested or not; none of one that does not exist yet."""
        scope, _, name = deployment_id.partition(_SEGMENT)

        def ask(client: DeploymentsMgmtClient) -> list[Mapping[str, Any]]:
            return [one.as_dict() for one in client.deployment_operations.list_at_scope(scope.strip("/"), name)]

        return self._azure.find(f"deployment {name}: operations", ask) or []
