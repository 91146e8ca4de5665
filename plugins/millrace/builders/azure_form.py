"""The form of the DAGs `provision`, `scale` and `teardown`: what of Azure a person chooses."""

from __future__ import annotations

from airflow.sdk import Param

from millrace.azure.scaling import KINDS

__all__ = ["platform_params", "scale_params", "teardown_params", "template_params"]

_SECTION = "Azure"


def platform_params() -> dict[str, Param]:
    """The form's fields of the DAGs that bring a platform up and down."""
    platform = {"platform": Param("local", type="string", enum=["local", "azure"], title="Platform")}
    return platform | _environment_params()


def _environment_params() -> dict[str, Param]:
    return {
        "size": Param(
            "dev", type="string", enum=["dev", "prod"], title="Environment", section=_SECTION,
            description="A parameter file of infra/arm/parameters; with the prefix, the tag of all that is made.",
        ),
        "prefix": _text("Prefix", "2 to 8 lower-case letters and digits; begins the names of everything."),
    }  # fmt: skip


def template_params() -> dict[str, Param]:
    """The form's fields for main.json."""
    nothing: list[str] = []
    return {
        "layout": Param(
            "hdinsight", type="string", enum=["hdinsight", "databricks"], title="Layout", section=_SECTION,
            description="Where Spark runs: HDInsight clusters in one network, or Databricks in a peered one.",
        ),
        "kafka": Param(
            "cluster", type="string", enum=["cluster", "eventhubs"], title="Kafka", section=_SECTION,
            description="An HDInsight cluster, or Event Hubs by its Kafka endpoint.",
        ),
        "brokers": Param(
            "addresses", type="string", enum=["addresses", "names"], title="Brokers", section=_SECTION,
            description="How Databricks' network knows Kafka's brokers: they advertise their addresses, or it resolves "
            "their names by a private DNS zone, which TLS needs whose certificates have names. The zone is also for "
            "networks in the parameter brokerNetworks, in either layout.",
        ),
        "region": _text("Region", "By its name without spaces, such as the name in `az account list-locations`."),
        "operator_principal_id": _text("Operator", "Object id of the principal that Airflow runs as."),
        "ssh_public_key": _text("SSH key", "The public key with which people reach the clusters' nodes."),
        "clients": Param(
            nothing, type="array", items={"type": "string"}, title="Clients", section=_SECTION,
            description="Address ranges (CIDR) from which vault, storage and gateways may be reached.",
        ),
        "environment": _text(
            "Environment file", "One of infra/environments, by its name; by default that of the layout's name."
        ),
        "parameters": Param(
            {}, type="object", title="Parameters", section=_SECTION,
            description="Any other parameter of infra/arm/main.json, by name. No secrets.",
        ),
    } | _approval_params()  # fmt: skip


def scale_params() -> dict[str, Param]:
    """The form's fields of `scale`: whose cluster, which one, and the workers that it is to have, 1 to 100."""
    own = {
        "cluster": Param(
            "spark", type="string", enum=list(KINDS), title="Cluster", section=_SECTION,
            description="Spark, Kafka (more brokers alone: HDInsight takes none away) or Interactive Query.",
        ),
        "workers": Param(
            1, type="integer", minimum=1, maximum=100, title="Workers", section=_SECTION,
            description="How many it is to have. Azure's quota of cores has the last word.",
        ),
    }  # fmt: skip
    return _environment_params() | own | _approval_params()


def _approval_params() -> dict[str, Param]:
    return {
        "dry_run": Param(False, type="boolean", title="Dry run", description="Show what would change, and stop."),
        "approve": Param(False, type="boolean", title="Approve", description="Do it without asking anybody."),
    }


def teardown_params() -> dict[str, Param]:
    """The form's fields of `teardown`: which clusters are deleted while the data stays, and what stops before."""
    return {
        "clusters": Param(
            "none", type="string", enum=["none", "spark", "all"], title="Clusters", section=_SECTION,
            description="Stop paying for compute and keep the data: delete the clusters that hold nothing (spark), or "
            "Kafka's too, with the records that are not archived yet (all: needs the confirmation).",
        ),
        "stop_streams": Param(
            True, type="boolean", title="Stop streams", section=_SECTION,
            description="First stop the streams whose lake lies in what is deleted; the files in infra/environments "
            "say which. Off only where no stream runs there.",
        ),
    }  # fmt: skip


def _text(title: str, description: str) -> Param:
    return Param(None, type=["null", "string"], title=title, description=description, section=_SECTION)
