"""How far a deployment is: the operations of it and of what is nested in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from millrace.azure.arm.model import DEPLOYMENTS

__all__ = ["ENDED", "Operation", "Step", "changes", "failures", "steps"]

ENDED = frozenset({"Succeeded", "Failed", "Canceled"})
"""States of a deployment that does nothing any longer."""

Operation = Mapping[str, Any]
"""Azure's own JSON of one operation: `{"operationId", "properties": {"targetResource", "provisioningState", …}}`."""


@dataclass(frozen=True)
class Step:
    """The state of one resource. `module` is the nested deployment that it belongs to, None for the outermost."""

    id: str
    type: str
    name: str
    state: str
    module: str | None
    error: Mapping[str, Any] | None

    @property
    def is_deployment(self) -> bool:
        """Whether other steps are what it consists of."""
        return self.type.lower() == DEPLOYMENTS.lower()

    def __str__(self) -> str:
        where = f" (module {self.module})" if self.module else ""
        return f"{self.state.lower()}: {self.type} {self.name}{where}"


def steps(deployment_id: str, operations: Callable[[str], Iterable[Operation]]) -> list[Step]:
    """Every resource under way or done, each nested deployment before what is in it.

    `operations(id)` tells those of a deployment by its id; of one that has only been accepted, none.
    """
    return list(_steps(deployment_id, None, operations))


def _steps(deployment_id: str, module: str | None, operations: Callable[[str], Iterable[Operation]]) -> Iterator[Step]:
    for operation in operations(deployment_id):
        properties = operation["properties"]
        target = properties.get("targetResource")
        if not target:  # the evaluation of outputs has none
            continue
        error = (properties.get("statusMessage") or {}).get("error")
        step = Step(
            target["id"], target["resourceType"], target["resourceName"], properties["provisioningState"], module, error
        )
        yield step
        if step.is_deployment:
            yield from _steps(step.id, step.name, operations)


def changes(before: Mapping[str, str], now: Iterable[Step]) -> list[Step]:
    """The steps whose state is not what it was in `before`: states by resource id."""
    return [step for step in now if before.get(step.id) != step.state]


def failures(found: Iterable[Step]) -> list[Step]:
    """What failed by itself: not the deployments that failed because of it, unless nothing in them did."""
    failed = [step for step in found if step.state == "Failed" and step.error]
    blamed = {step.module for step in failed}
    return [step for step in failed if not (step.is_deployment and step.name in blamed)]
