"""The Spark cluster that is made for batch runs: what it is made of, and who is using it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from jobs.errors import MillraceError, UsageError
from millrace.azure.declaration import Declaration
from millrace.environment import Environment
from millrace.platforms.hdinsight_settings import HdinsightSettings

if TYPE_CHECKING:
    from millrace.azure.arm import Resource
    from millrace.azure.clusters import Cluster
    from millrace.azure.hook import ResourceManagerHook

__all__ = ["LIFETIME", "Users", "batch_cluster", "require_ours"]

LIFETIME = ("millrace-lifetime", "batch")
"""The tag, and its value, by which the template marks the cluster. Without it a cluster is never deleted here."""

_LOCK, _FOLDER = "batch-cluster", "users"
_MODULE = "batch"
_GATEWAYS = "azure_clusters"  # the connection whose password `provision` gives the clusters' gateways
# Parameters that main.json demands, and of which nothing shows in this cluster.
_UNUSED: Mapping[str, Any] = {"operatorPrincipalId": "-", "secretsExpire": 1, "rawTopics": []}


def batch_cluster(environment: Environment, hook: ResourceManagerHook) -> Resource:
    """The cluster as infra/arm has it, for the environment's table `[hdinsight.batch]`; its password is in it.

    Raises MillraceError where the table is incomplete, or names another cluster than the template does.
    """
    table = environment.batch_table
    table.refuse_unknown(
        ("cluster", "container", "prefix", "size", "region", "ssh_public_key", "workers", "parameters")
    )
    if HdinsightSettings.of(environment).token_scope:
        raise UsageError(
            f"{table.path}: hdinsight.login is 'entra', and a cluster for batch runs is made"
            " with a gateway that takes a password: use 'basic', or take the table hdinsight.batch out"
        )
    parameters = {
        **_UNUSED,
        "prefix": table.text("prefix", "the prefix that the DAG `provision` was given"),
        "layout": "hdinsight",
        "deployBatch": True,
        "batchWorkerCount": int(table.values.get("workers", 2)),
        "sshPublicKey": table.text("ssh_public_key", "the public key with which people reach the cluster's nodes"),
        **table.table("parameters").values,
    }
    size, region = (table.text(name, f"the {name} that `provision` was given") for name in ("size", "region"))
    declared = Declaration("millrace-batch", region, size, parameters, {"clusterPassword": _GATEWAYS})
    found = declared.request(hook).evaluated(hook.subscription_id, hook.tenant_id)
    nested = next(one for one in found.nested.values() if one.scope.deployment_name == _MODULE)
    (cluster,) = nested.resources
    if cluster.name != table.values.get("cluster"):
        raise UsageError(
            f"{table.path}: hdinsight.batch.cluster is {table.values.get('cluster')!r}; with this prefix, size and"
            f" subscription its name is {cluster.name!r}: write that"
        )
    return cluster


def require_ours(cluster: Cluster) -> None:
    """Raises MillraceError for a cluster that was not made for batch runs: it is somebody's, with what runs on it."""
    name, value = LIFETIME
    if cluster.tags.get(name) != value:
        raise MillraceError(
            f"cluster {cluster.name}: its tag {name} is {cluster.tags.get(name)!r}; only a cluster whose tag is"
            f" {value!r} is made and deleted for batch runs; correct hdinsight.batch.cluster in the environment's file"
        )


class Store(Protocol):
    """Where users are noted: see `millrace.platforms.hdinsight_store.JobStore`."""

    def exclusive(self, name: str) -> Any: ...

    def read_json(self, path: str) -> dict[str, Any]: ...

    def write_json(self, path: str, content: dict[str, Any]) -> None: ...

    def delete(self, path: str) -> None: ...

    def names(self, folder: str) -> list[str]: ...


@dataclass(frozen=True)
class Users:
    """The DAG runs that use the cluster: the last one deletes it.

    A run that never said that it is done (its Airflow is gone) counts no longer than `longest`: a cluster that nobody
    uses costs.
    """

    store: Store
    longest: timedelta = timedelta(hours=24)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @contextmanager
    def changed(self) -> Iterator[None]:
        """Whoever looks at the users, and does to the cluster what follows from them, does so alone."""
        with self.store.exclusive(_LOCK):
            yield

    @contextmanager
    def joined(self, run: str) -> Iterator[None]:
        """The same, and from now on `run` uses it; no longer, and as if it never had, where an error ends the block."""
        # Twice: who comes next is not to see a run that has failed, and the lease itself may fail, before or after.
        with self._removed_on_error(run), self.changed(), self._removed_on_error(run):
            self.store.write_json(f"{_FOLDER}/{run}.json", {"since": self.now.isoformat()})
            yield

    def remove(self, run: str) -> list[str]:
        """`run` uses it no longer; those that still do."""
        self.store.delete(f"{_FOLDER}/{run}.json")
        return [name for name in self.store.names(_FOLDER) if self._is_using(name)]

    @contextmanager
    def _removed_on_error(self, run: str) -> Iterator[None]:
        try:
            yield
        except BaseException:  # a task's timeout is no Exception
            self.remove(run)
            raise

    def _is_using(self, name: str) -> bool:
        since = self.store.read_json(f"{_FOLDER}/{name}.json").get("since")
        return since is not None and self.now - datetime.fromisoformat(since) < self.longest
