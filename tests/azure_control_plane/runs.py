"""A deployment under way: resources are created in their order, a few with each look at it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from millrace.azure.arm import Deployment, Resource
from tests.azure_control_plane.exchange import error
from tests.azure_control_plane.resources import settled

__all__ = ["ENDED", "Run", "Step"]

ENDED = ("Succeeded", "Failed", "Canceled")
_FAILED = (
    "At least one resource deployment operation failed. Please list deployment operations for details. "
    "Please see https://aka.ms/arm-deployment-operations for usage details."
)
Creation = Callable[[Resource], Mapping[str, Any] | str]
"""Creates a resource and says how it ended: a state (`Running` for not yet), or an error."""


@dataclass
class Step:
    """One operation of a deployment."""

    resource: Resource
    state: str = "Waiting"
    error: Mapping[str, Any] | None = None
    run: Run | None = None
    operation: str = field(default_factory=lambda: uuid.uuid4().hex[:16].upper())
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Run:
    """The deployment with the id `id`, `body` being what was asked."""

    id: str
    deployment: Deployment
    body: Mapping[str, Any]
    create: Creation
    state: str = "Accepted"
    error: Mapping[str, Any] | None = None
    correlation: str = field(default_factory=lambda: str(uuid.uuid4()))
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    steps: list[Step] = field(init=False)

    def __post_init__(self) -> None:
        self.steps = [Step(resource) for resource in self.deployment.resources]

    def advance(self) -> None:
        """Go one step on everywhere: what was begun ends, what can begin does."""
        if self.state in ENDED:
            return
        self.state = "Running"
        for step in [step for step in self.steps if step.state == "Running"]:
            self._go_on(step)
        done = {step.resource.id.lower() for step in self.steps if step.state == "Succeeded"}
        for step in self.steps:
            if step.state == "Waiting" and done.issuperset(one.lower() for one in step.resource.depends_on):
                self._begin(step)
        if not any(step.state == "Running" for step in self.steps):
            self._end()

    def everything(self) -> Iterator[Run]:
        """This and what is nested in it, as far as it has begun."""
        yield self
        for step in self.steps:
            if step.run:
                yield from step.run.everything()

    def outputs(self) -> dict[str, Any]:
        """As the answer has them, `{name: {"type", "value"}}`."""
        declared = self.body["properties"]["template"].get("outputs", {})
        told = settled(dict(self.deployment.outputs))
        kinds = {name: declared[name]["type"].title() for name in told}
        return {name: {"type": kinds[name], "value": value} for name, value in told.items()}

    def _begin(self, step: Step) -> None:
        step.state, step.at = "Running", datetime.now(UTC)
        nested = self.deployment.nested.get(step.resource.id)
        if nested:
            step.run = Run(step.resource.id, nested, step.resource.body, self.create, correlation=self.correlation)

    def _go_on(self, step: Step) -> None:
        if step.run:
            step.run.advance()
            if step.run.state in ENDED:
                step.state, step.error = step.run.state, step.run.error
            return
        resource = step.resource
        told = self.create(Resource(*_place(resource), settled(resource.body), resource.depends_on))
        step.state, step.error = (told, None) if isinstance(told, str) else ("Failed", told)
        step.at = datetime.now(UTC)

    def _end(self) -> None:
        failed = [step.error for step in self.steps if step.error]
        self.state = "Failed" if failed else "Succeeded"
        self.at = datetime.now(UTC)
        if failed:
            self.error = error("DeploymentFailed", _FAILED, [each for each in failed if each])


def _place(resource: Resource) -> tuple[str, str, str, str]:
    return resource.id, resource.type, resource.name, resource.api_version
