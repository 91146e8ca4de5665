"""The task that deletes all that an environment has on Azure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException

from jobs.errors import UsageError
from millrace.operators.azure_errors import as_airflow_errors
from millrace.operators.azure_task import EnvironmentTask
from millrace.triggers.azure_deletion import AzureDeletionTrigger
from millrace.waiting import until

if TYPE_CHECKING:
    from airflow.sdk import Context

    from millrace.azure.environments import Environments

__all__ = ["CONFIRMATION", "DeleteEnvironmentOperator", "require_choice", "require_confirmation"]

CONFIRMATION = "delete everything"
_PURGED_WITHIN = timedelta(minutes=10)


def require_confirmation(given: str, what: str) -> None:
    """Raises UsageError unless `given` is the confirmation, which `what` needs."""
    if given != CONFIRMATION:
        raise UsageError(f"confirmation is {given!r}; {what} needs {CONFIRMATION!r}; write it")


def require_choice(params: Mapping[str, Any]) -> None:
    """The form of `teardown` chooses something, and is confirmed where it must be. Raises UsageError otherwise.

    For who deletes nothing yet, but would begin with what cannot be undone: to stop streams.
    """
    if params["delete_data"]:
        require_confirmation(params["confirmation"], "deleting all data")
    elif params["clusters"] == "all":
        require_confirmation(params["confirmation"], "deleting Kafka with the records that are not archived yet")
    elif params["clusters"] == "none":
        raise UsageError("clusters is 'none' and delete_data is off: nothing is to be deleted; choose one of them")


class DeleteEnvironmentOperator(EnvironmentTask):
    """Deletes the resource groups that bear the environment's tag, with all in them, and waits without a worker slot.

    Does so only where `confirmation` reads "delete everything". Then the names of deleted vaults are freed, so that the
    environment can be provisioned again; a vault with purge protection keeps its name, and the log says how to get it
    back. Running it again goes on where it was; with nothing left, nothing happens.
    """

    template_fields: Sequence[str] = (*EnvironmentTask.template_fields, "confirmation")

    def __init__(self, *, confirmation: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.confirmation = confirmation

    def execute(self, context: Context) -> None:
        """Log what there is, begin, and defer."""
        with as_airflow_errors():
            require_confirmation(self.confirmation, f"deleting environment {self.environment()}")
            environments = self._connect()
            groups = environments.groups(self.environment())
            for name, state in groups.items():
                every = environments.contents(name)
                self.log.info("resource group %s (%s), %d resources:\n%s", name, state, len(every), "\n".join(every))
                if state != "Deleting":
                    environments.begin_delete_group(name)
            if not groups:
                self.log.info("no resource group bears the tag of environment %s", self.environment())
                self._free_names()
                return
        raise self.until_fired(AzureDeletionTrigger, self.environment())

    def resume(self, context: Context, event: dict[str, Any]) -> None:
        """The groups are gone, or Azure has stopped deleting one: a lock, or a resource that refuses."""
        if event["state"] == "Left":
            raise AirflowException(
                f"resource groups {', '.join(event['groups'])} are not being deleted any longer; Azure's activity log "
                "says what stands in the way (a lock?); the next try deletes what is left"
            )
        if event["state"] == "Lost":
            raise AirflowException(f"environment {self.environment()}: {event['reason']}")
        with as_airflow_errors():
            self._free_names()

    def _free_names(self) -> None:
        """Purges vaults, which takes a minute or two. Raises AirflowException where Azure takes longer."""
        environments = self._connect()
        for vault in environments.deleted_vaults(self.environment()):
            if vault.is_protected:
                self.log.warning(
                    "vault %s is kept by its purge protection; before you provision this environment again, restore "
                    "it: az keyvault recover --name %s --location %s",
                    *(vault.name, vault.name, vault.location),
                )
            else:
                environments.purge(vault)
                self.log.info("vault %s is being purged", vault.name)
        if not until(lambda: self._are_names_free(environments), _PURGED_WITHIN, self.poll):
            raise AirflowException(f"deleted vaults of {self.environment()} are still there after {_PURGED_WITHIN}")

    def _are_names_free(self, environments: Environments) -> bool:
        return all(vault.is_protected for vault in environments.deleted_vaults(self.environment()))

    def _connect(self) -> Environments:
        from millrace.azure.environments import Environments

        return Environments(self.hook())
