"""Tasks that deploy a template to an Azure subscription: one shows what would change, one deploys.

Between them stands an approval: `millrace.operators.approval`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from millrace.azure.arm.compose import TEMPLATES
from millrace.azure.failures import may_pass, shown
from millrace.azure.foreseen import changed, foreseen
from millrace.azure.progress import ENDED, failures, steps
from millrace.operators.azure_errors import as_airflow_errors
from millrace.operators.azure_task import AzureTask
from millrace.triggers.azure_cluster import AzureClusterTrigger
from millrace.triggers.azure_deployment import AzureDeploymentTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from millrace.azure.deployments import Deployments
    from millrace.azure.environments import Environments
    from millrace.azure.hook import ResourceManagerHook
    from millrace.azure.request import DeploymentRequest

__all__ = ["DeployTemplateOperator", "PreviewDeploymentOperator"]


class _DeploymentTask(AzureTask):
    """What both tasks are told. See `millrace.azure.declaration.Declaration` for `size`, `parameters` and `secrets`.

    Parameters must be the same at each try: a time such as `secretsExpire` is fixed, or comes from the run's own date.
    """

    template_fields: Sequence[str] = (*AzureTask.template_fields, "stem", "location", "size", "parameters")

    def __init__(
        self,
        *,
        stem: str,
        location: str,
        size: str | None = None,
        parameters: Mapping[str, Any] | str | None = None,
        secrets: Mapping[str, str] | None = None,
        template: Path = TEMPLATES / "main.json",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retry_exponential_backoff", 2.0)
        super().__init__(**kwargs)
        self.stem = stem
        self.location = location
        self.size = size
        self.parameters = parameters or {}
        self.secrets = dict(secrets or {})
        self.template = template

    def connect(self) -> tuple[ResourceManagerHook, Deployments, Environments]:
        """Azure, as the connection sees it."""
        from millrace.azure.deployments import Deployments
        from millrace.azure.environments import Environments

        hook = self.hook()
        return hook, Deployments(hook), Environments(hook)

    def request(self, hook: ResourceManagerHook) -> DeploymentRequest:
        """What is to be deployed. Raises MillraceError where that is wrong."""
        from millrace.azure.declaration import Declaration

        parameters = self.parameters
        if isinstance(parameters, str):
            raise AirflowFailException(f"parameters are {parameters!r}; they must be a mapping of names to values")
        declared = Declaration(self.stem, self.location, self.size, parameters, self.secrets, Path(self.template))
        return declared.request(hook)


class PreviewDeploymentOperator(_DeploymentTask):
    """Validates the deployment, logs what Azure foresees and what it costs by the hour, and changes nothing.

    `environment`: whose file says which machines Databricks runs. Returns `{"name", "changes": number, "text"}`;
    `text` names resources and properties, and has no values.
    """

    template_fields: Sequence[str] = (*_DeploymentTask.template_fields, "environment")

    def __init__(self, *, environment: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.environment = environment

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask, log and return. Raises AirflowFailException for what Azure refuses."""
        from millrace.azure.costs import estimate
        from millrace.azure.databricks_machines import all_paid
        from millrace.azure.standing import standing

        with as_airflow_errors():
            hook, deployments, environments = self.connect()
            request = self.request(hook)
            wanted = request.evaluated(hook.subscription_id, hook.tenant_id)
            request = request.leaving(standing(wanted, environments, is_broken_refused=False))
            deployments.validate(request)
            found = deployments.what_if(request)
        text = f"{foreseen(found)}\n\n{estimate(all_paid(wanted.everything(), self.environment), self.location)}"
        self.log.info("deployment %s would change:\n%s", request.name, text)
        return {"name": request.name, "changes": len(changed(found)), "text": text}


class DeployTemplateOperator(_DeploymentTask):
    """Deploys, and waits without a worker slot. Returns the deployment's outputs, by name.

    The deployment's name is a hash of what is asked. One that runs is adopted, whoever began it: after a lost worker, a
    restart or a clear. One that has succeeded, and of which Azure foresees no change, is left as it is. Otherwise it is
    deployed again, which is repeatable: clusters that exist are left alone, and one whose creation failed is deleted
    first. That, or awaiting the end of one that is being deleted, takes a worker slot for its minutes; awaiting one
    that another deployment still creates takes none. Marking the task does not cancel a deployment.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Adopt, or validate and begin; then defer. Where a cluster is not settled, defer until it is."""
        with as_airflow_errors():
            hook, deployments, environments = self.connect()
            request = self.request(hook)
            found = deployments.find(request.name)
            state = found["properties"]["provisioningState"] if found else None
            if found is None or state in ENDED:
                request = self._leaving_clusters(request, state, hook, deployments, environments)
                if found and state == "Succeeded" and not changed(deployments.what_if(request)):
                    self.log.info("deployment %s has succeeded before, and nothing would change", request.name)
                    return _outputs(found)
                deployments.validate(request)
                deployments.begin(request)
                self.log.info("deployment %s has begun%s", request.name, f"; it was {state} before" if state else "")
            else:
                self.log.info("deployment %s is %s already: going on with it", request.name, state)
        raise self.until_fired(AzureDeploymentTrigger, request.name)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """The deployment has ended. Raises AirflowException with what failed in it, and why."""
        name, state = event["name"], event["state"]
        if state == "Lost":
            raise AirflowException(f"deployment {name}: {event['reason']}; the next try deploys again")
        with as_airflow_errors():
            _, deployments, _ = self.connect()
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

    def execute_again(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """A cluster has settled, or is gone: what stands is asked anew."""
        return self.execute(context)

    def _leaving_clusters(
        self,
        request: DeploymentRequest,
        state: str | None,
        hook: ResourceManagerHook,
        deployments: Deployments,
        environments: Environments,
    ) -> DeploymentRequest:
        """Raises TaskDeferred while it is not known whether one of them will be there."""
        from millrace.azure.standing import await_deleted, delete_unborn, standing, unsettled

        wanted = request.evaluated(hook.subscription_id, hook.tenant_id)
        for cluster in unsettled(wanted, environments):
            self.log.info("cluster %s is being created or changed: awaiting its end", cluster)
            raise self.until_fired(AzureClusterTrigger, cluster, method="execute_again")
        if state == "Failed":
            failed = failures(steps(deployments.id_of(request.name), deployments.operations))
            for name in delete_unborn(failed, wanted, environments):
                self.log.info("cluster %s could not be created the last time; what was left of it is deleted", name)
        for name in await_deleted(wanted, environments, self.poll):
            self.log.info("cluster %s was being deleted, and is gone: it is created anew", name)
        return request.leaving(standing(wanted, environments))


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
