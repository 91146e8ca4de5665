"""Tries of a task that defers, as Airflow makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferred
from airflow.triggers.base import BaseTrigger

from millrace.operators.azure_deploy import DeployTemplateOperator, PreviewDeploymentOperator
from tests.infra.deployments import PASSWORD, A, B, Case

__all__ = ["CLUSTERS_CONNECTION", "A", "B", "deploying", "finished", "previewing", "try_once", "waited"]

SECRETS = {"clusterPassword": "azure_clusters"}
CLUSTERS_CONNECTION = f'{{"conn_type": "generic", "password": "{PASSWORD}"}}'


def declared(case: Case) -> dict[str, Any]:
    """What a task is told of a case: the password comes from a connection."""
    own = {name: value for name, value in case.parameters().items() if name != "clusterPassword"}
    return {
        "stem": f"millrace-mr-{case.size}",
        "location": "northeurope",
        "size": case.size,
        "parameters": own,
        "secrets": SECRETS,
    }


def deploying(case: Case = A, **changed: Any) -> DeployTemplateOperator:
    """The task that deploys a case, with parameters changed."""
    told = declared(case)
    told["parameters"] |= changed
    return DeployTemplateOperator(task_id="deploy", poll=timedelta(milliseconds=10), **told)


def previewing(case: Case = A, **changed: Any) -> PreviewDeploymentOperator:
    """The task that shows what deploying a case would change."""
    told = declared(case)
    told["parameters"] |= changed
    return PreviewDeploymentOperator(task_id="preview", **told)


def try_once(operator: BaseOperator) -> Any:
    """A try until its end: what the task returns. Raises what the task raises."""
    act = partial(operator.execute, {})
    while True:
        try:
            return act()
        except TaskDeferred as deferred:
            act = partial(getattr(operator, deferred.method_name), {}, waited(deferred.trigger))


def waited(trigger: BaseTrigger) -> Mapping[str, Any]:
    """The event of a trigger, made anew from what Airflow keeps of it."""
    _, kept = trigger.serialize()
    again = type(trigger)(**kept | {"settle_s": 0.01})

    async def first() -> Mapping[str, Any]:
        async for event in again.run():
            return dict(event.payload)
        raise AssertionError("the trigger ended without an event")

    return asyncio.run(first())


def finished(case: Case = A, **changed: Any) -> Any:
    """The outputs of a case, deployed."""
    return try_once(deploying(case, **changed))
