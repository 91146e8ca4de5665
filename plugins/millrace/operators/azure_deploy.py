"""Tasks that deploy a template to an Azure subscription: one shows what would change, one deploys.

Between them stands an approval: `millrace.operators.approval`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from jobs.errors import MillraceError
from millrace.azure.arm.compose import TEMPLATES
from millrace.azure.failures import may_pass, shown
from millrace.azure.foreseen import changed, foreseen
from millrace.azure.progress import failures, steps
from millrace.triggers.azure_deployment import ENDED, AzureDeploymentTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from millrace.azure.deployments import Deployments
    from millrace.azure.request import DeploymentRequest

__all__ = ["DeployTemplateOperator", "PreviewDeploymentOperator"]


class _DeploymentTask(BaseOperator):
    """What both tasks are told. See `millrace.azure.declaration.Declaration` for `size`, `parameters` and `secrets`.

    Parameters must be the same at each try: a time such as `secretsExpire` is fixed, or comes from the run's own date.
    """

    template_fields: Sequence[str] = ("stem", "location", "size", "parameters")

    def __init__(
        self,
        *,
        stem: str,
        location: str,
        size: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        template: Path = TEMPLATES / "main.json",
        azure_conn_id: str = "azure_default",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 3)
        kwargs.setdefault("retry_delay", timedelta(seconds=30))
        kwargs.setdefault("retry_exponential_backoff", 2.0)
        super().__init__(**kwargs)
        self.stem = stem
        self.location = location
        self.size = size
        self.parameters = dict(parameters or {})
        self.secrets = dict(secrets or {})
        self.template = template
        self.azure_conn_id = azure_conn_id

    def connect(self) -> Deployments:
        """Azure, as the connection sees it."""
        from millrace.azure.deployments import Deployments
        from millrace.azure.hook import ResourceManagerHook

        return Deployments(ResourceManagerHook(self.azure_conn_id))

    def request(self) -> DeploymentRequest:
        """What is to be deployed. Raises MillraceError where that is wrong."""
        from millrace.azure.declaration import Declaration
        from millrace.azure.hook import ResourceManagerHook

        declaration = Declaration(
            self.stem, self.location, self.size, self.parameters, self.secrets, Path(self.template)
        )
        return declaration.request(ResourceManagerHook(self.azure_conn_id))


class PreviewDeploymentOperator(_DeploymentTask):
    """Validates the deployment, logs what Azure foresees, and changes nothing.

    Returns `{"name", "changes": number, "text"}`; `text` names resources and properties, and has no values.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask, log and return. Raises AirflowFailException for what Azure refuses."""
        with _airflow_errors():
            request, deployments = self.request(), self.connect()
            deployments.validate(request)
            found = deployments.what_if(request)
        text = foreseen(found)
        self.log.info("deployment %s would change:\n%s", request.name, text)
        return {"name": request.name, "changes": len(changed(found)), "text": text}


class DeployTemplateOperator(_DeploymentTask):
    """Deploys, and waits without a worker slot. Returns the deployment's outputs, by name.

    The deployment's name is a hash of what is asked. One that runs is adopted, whoever began it: after a lost worker, a
    restart or a clear. One that has succeeded, and of which Azure foresees no change, is left as it is. Otherwise it is
    deployed again, which is repeatable. Marking the task does not cancel a deployment.
    """

    def execute(self, context: Context) -> Any:
        """Adopt, or validate and begin; then defer."""
        with _airflow_errors():
            request, deployments = self.request(), self.connect()
            found = deployments.find(request.name)
            state = found["properties"]["provisioningState"] if found else None
            if state is not None and state not in ENDED:
                self.log.info("deployment %s is %s already: going on with it", request.name, state)
            elif found and state == "Succeeded" and not changed(deployments.what_if(request)):
                self.log.info("deployment %s has succeeded before, and nothing would change", request.name)
                return _outputs(found)
            else:
                deployments.validate(request)
                deployments.begin(request)
                self.log.info("deployment %s has begun%s", request.name, f"; it was {state} before" if state else "")
        self.defer(trigger=AzureDeploymentTrigger(request.name, self.azure_conn_id), method_name="resume")

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """The deployment has ended. Raises AirflowException with what failed in it, and why."""
        name, state = event["name"], event["state"]
        if state == "Lost":
            raise AirflowException(f"deployment {name}: {event['reason']}; the next try deploys again")
        with _airflow_errors():
            deployments = self.connect()
            found = deployments.find(name)
            if found is not None and state == "Succeeded":
                return _outputs(found)
            reasons = _reasons(deployments, name, found or {})
        for line, _ in reasons:
            self.log.error("%s", line)
        passing = state == "Failed" and bool(reasons) and all(passes for _, passes in reasons)
        what = "; ".join(line for line, _ in reasons) or "Azure gives no reason"
        message = (
            f"deployment {name}: {state}: {what}; correct the cause, then clear this task: it deploys what is left"
        )
        raise (AirflowException if passing else AirflowFailException)(message)


@contextmanager
def _airflow_errors() -> Iterator[None]:
    """What Azure may do at the next try stays a failure that is tried again; what it refuses is not."""
    from millrace.azure.deployments import PassingError

    try:
        yield
    except PassingError as error:
        raise AirflowException(str(error)) from error
    except MillraceError as error:
        raise AirflowFailException(str(error)) from error


def _reasons(deployments: Deployments, name: str, found: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """What failed in a deployment, and whether another try may end better."""
    failed = failures(steps(deployments.id_of(name), deployments.operations))
    if failed:
        return [(f"{step}: {shown(step.error or {})}", may_pass(step.error or {})) for step in failed]
    error = found.get("properties", {}).get("error")
    return [(shown(error), may_pass(error))] if error else []


def _outputs(found: Mapping[str, Any]) -> dict[str, Any]:
    outputs = found["properties"].get("outputs") or {}
    return {name: output.get("value") for name, output in outputs.items()}
