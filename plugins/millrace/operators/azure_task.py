"""What all tasks that work on Azure have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferred

if TYPE_CHECKING:
    from millrace.azure.hook import ResourceManagerHook
    from millrace.triggers.azure_watch import AzureTrigger

__all__ = ["AzureTask", "EnvironmentTask"]


class AzureTask(BaseOperator):
    """Tried again three times: what fails on Azure often passes, and a try goes on where the last one was.

    `azure_conn_id` is a connection of type `azure`; while it waits, a task looks at Azure every `poll`.
    """

    template_fields: Sequence[str] = ("azure_conn_id",)

    def __init__(
        self, *, azure_conn_id: str = "azure_default", poll: timedelta = timedelta(seconds=15), **kwargs: Any
    ) -> None:
        kwargs.setdefault("retries", 3)
        kwargs.setdefault("retry_delay", timedelta(seconds=30))
        super().__init__(**kwargs)
        self.azure_conn_id = azure_conn_id
        self.poll = poll

    def hook(self) -> ResourceManagerHook:
        """The connection to Azure."""
        from millrace.azure.hook import ResourceManagerHook

        return ResourceManagerHook(self.azure_conn_id)

    def until_fired(
        self, trigger: Callable[..., AzureTrigger], subject: Any, *, method: str = "resume"
    ) -> TaskDeferred:
        """The deferral, which takes no worker slot, to `method`; `subject` is the trigger's first argument."""
        watch = trigger(subject, self.azure_conn_id, poll_s=self.poll.total_seconds())
        return TaskDeferred(trigger=watch, method_name=method)


class EnvironmentTask(AzureTask):
    """Works on the environment that the DAG `provision` made with this `prefix` and `size`, and on no other: one of the
    same size with another prefix may be in the same subscription."""

    template_fields: Sequence[str] = (*AzureTask.template_fields, "prefix", "size")

    def __init__(self, *, prefix: str, size: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prefix = prefix
        self.size = size

    def environment(self) -> str:
        """What its tag reads. Raises UsageError where the prefix or the size is missing."""
        from millrace.azure.environments import tag_value

        return tag_value(self.prefix, self.size)
