"""The step of `scale` before anything is changed: what is asked for, and what it costs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millrace.azure.clusters import Clusters

__all__ = ["plan_scaling"]

_log = logging.getLogger(__name__)


def plan_scaling(params: Mapping[str, Any], clusters: Clusters) -> dict[str, Any]:
    """What the DAG's form asks for, as `{"cluster_id", "is_change", "text"}`; `text` says what the workers cost by the
    hour before and after. Raises UsageError for what HDInsight would refuse."""
    from millrace.azure.costs import estimate, workers
    from millrace.azure.environments import tag_value
    from millrace.azure.scaling import check_scaling, cluster_of

    wanted = int(params["workers"])
    found = cluster_of(clusters, tag_value(params["prefix"] or "", params["size"]), params["cluster"])
    check_scaling(found, wanted)
    choice = [workers(found, found.workers, "now"), workers(found, wanted, "then")]
    costs = estimate(choice, found.region, is_choice=True)
    text = f"{found.name}: {found.workers} workers now, {wanted} then\n\n{costs}"
    _log.info("%s", text)
    return {"cluster_id": found.id, "is_change": found.workers != wanted, "text": text}
