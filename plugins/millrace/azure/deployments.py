"""Deployments to a subscription, through Microsoft's SDK; answers are Azure's own JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from jobs.errors import MillraceError
from millrace.azure.failures import may_pass, shown
from millrace.azure.request import DeploymentRequest

if TYPE_CHECKING:
    from azure.mgmt.resource.deployments import DeploymentsMgmtClient

    from millrace.azure.hook import ResourceManagerHook

__all__ = ["Deployments", "PassingError", "RefusedError"]

_T = TypeVar("_T")
_SEGMENT = "/providers/Microsoft.Resources/deployments/"
_POLL_S = 5  # between looks at a what-if, unless Azure says how long


class RefusedError(MillraceError):
    """Azure says no, and would say it again."""


class PassingError(MillraceError):
    """Azure could not, or says to try later: the SDK's own retries are used up."""


class Deployments:
    """What one connection may see. Every method blocks, and raises RefusedError or PassingError.

    The SDK waits and asks again by itself (429, 5xx, Retry-After, a lost connection), and gets a new token before the
    old one ends. A token that Azure refuses although it has time left is replaced here, once per call.
    """

    def __init__(self, hook: ResourceManagerHook) -> None:
        self._hook = hook
        self._client: DeploymentsMgmtClient | None = None

    def id_of(self, name: str) -> str:
        """The resource id of a deployment to the subscription."""
        return f"/subscriptions/{self._hook.subscription_id}{_SEGMENT}{name}"

    def find(self, name: str) -> Mapping[str, Any] | None:
        """The deployment of that name; None where there is none."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            found = self._ask(
                f"deployment {name}", lambda client: client.deployments.get_at_subscription_scope(name).as_dict()
            )
        except RefusedError as error:
            if isinstance(error.__cause__, ResourceNotFoundError):
                return None
            raise
        return dict(found)

    def validate(self, request: DeploymentRequest) -> None:
        """Asks Azure whether it would take the request. Raises RefusedError, with the innermost reason."""
        what = f"deployment {request.name}: validation"

        def ask(client: DeploymentsMgmtClient) -> dict[str, Any]:
            from azure.mgmt.resource.deployments.models import Deployment

            begin = client.deployments.begin_validate_at_subscription_scope
            return begin(request.name, Deployment(request.body()), polling_interval=_POLL_S).result().as_dict()

        result = self._ask(what, ask)
        if result.get("error"):
            raise RefusedError(f"{what}: {shown(result['error'])}; correct the template or its parameters")

    def what_if(self, request: DeploymentRequest) -> list[Mapping[str, Any]]:
        """What Azure foresees, a change per resource."""
        what = f"deployment {request.name}: what-if"

        def ask(client: DeploymentsMgmtClient) -> dict[str, Any]:
            from azure.mgmt.resource.deployments.models import DeploymentWhatIf

            begin = client.deployments.begin_what_if_at_subscription_scope
            return begin(request.name, DeploymentWhatIf(request.body()), polling_interval=_POLL_S).result().as_dict()

        result = self._ask(what, ask)
        if result.get("error"):
            raise RefusedError(f"{what}: {shown(result['error'])}")
        return list((result.get("properties") or {}).get("changes") or ())

    def begin(self, request: DeploymentRequest) -> None:
        """Starts the deployment, or leaves the one of the same name that is running."""
        what = f"deployment {request.name}"

        def put(client: DeploymentsMgmtClient) -> None:
            from azure.mgmt.resource.deployments.models import Deployment

            body = Deployment(request.body())
            client.deployments.begin_create_or_update_at_subscription_scope(request.name, body, polling=False)

        try:
            self._ask(what, put)
        except PassingError as error:
            if _code(error.__cause__) != "DeploymentActive":  # another worker was quicker
                raise

    def operations(self, deployment_id: str) -> list[Mapping[str, Any]]:
        """The operations of a deployment, nested or not; none of one that does not exist yet."""
        from azure.core.exceptions import ResourceNotFoundError

        scope, _, name = deployment_id.partition(_SEGMENT)
        try:
            return self._ask(
                f"deployment {name}: operations",
                lambda client: [
                    one.as_dict() for one in client.deployment_operations.list_at_scope(scope.strip("/"), name)
                ],
            )
        except RefusedError as error:
            if isinstance(error.__cause__, ResourceNotFoundError):
                return []
            raise

    def _ask(self, what: str, ask: Callable[[DeploymentsMgmtClient], _T]) -> _T:
        from azure.core.exceptions import AzureError, HttpResponseError

        try:
            return self._with_new_token_if_refused(ask)
        except HttpResponseError as error:
            status = error.status_code or 0
            kind = (
                PassingError if status in (408, 409, 429) or status >= 500 or may_pass(_error(error)) else RefusedError
            )
            raise kind(f"{what}: Azure answers {status}: {shown(_error(error))}") from error
        except AzureError as error:  # no answer at all, or no token
            raise PassingError(f"{what}: {error.message}") from error

    def _with_new_token_if_refused(self, ask: Callable[[DeploymentsMgmtClient], _T]) -> _T:
        from azure.core.exceptions import ClientAuthenticationError

        try:
            return ask(self._current())
        except ClientAuthenticationError as error:
            if error.status_code != 401 or _is_login(error):
                raise
            self._client = None
            return ask(self._current())

    def _current(self) -> DeploymentsMgmtClient:
        if self._client is None:
            self._client = self._hook.deployments()
        return self._client


def _is_login(error: Any) -> bool:
    """Whether the token itself was not given."""
    return error.response is None or "/oauth2/" in error.response.request.url


def _error(error: Any) -> dict[str, Any]:
    """The error in an answer, as `{"code", "message", "details"}`."""
    try:
        found = error.response.json()["error"]
    except (AttributeError, KeyError, TypeError, ValueError):
        return {"code": None, "message": error.message}
    return found if isinstance(found, dict) else {"code": found, "message": error.message}


def _code(error: Any) -> Any:
    return _error(error).get("code")
