"""Microsoft's own validator of requests (npm `oav`), given each evaluated resource as the PUT that it would become."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.azure.arm import Resource
from millrace.stack.node import fetch_packages, node_binary

_OAV = Path(__file__).parent / "oav"
# The definitions of what the templates use; loading all of them takes a minute.
_FILES = (
    "databricks/**/accessconnector.json",
    "databricks/**/databricks.json",
    "eventhub/**/AuthorizationRules.json",
    "eventhub/**/eventhubs.json",
    "eventhub/**/namespaces.json",
    "eventhub/**/networkrulessets.json",
    "hdinsight/**/stable/2021-06-01/cluster.json",
    "keyvault/**/*.json",
    "msi/**/*.json",
    "authorization/**/*.json",
    "monitor/**/*.json",
    "network/**/natGateway.json",
    "network/**/networkSecurityGroup.json",
    "network/**/publicIpAddress.json",
    "network/**/virtualNetwork.json",
    "operationalinsights/**/*.json",
    "privatedns/**/*.json",
    "resources/**/resources.json",
    "storage/**/blob.json",
    "storage/**/storage.json",
    "synapse/resource-manager/**/firewallRule.json",
    "synapse/resource-manager/**/sqlServer.json",
    "synapse/resource-manager/**/workspace.json",
)


@dataclass(frozen=True)
class Verdict:
    """What the validator says of a resource; `operation` is None where no definition has its type and api-version."""

    resource: Resource
    operation: str | None
    errors: tuple[str, ...]


def verdicts(resources: list[Resource], specs: Path) -> list[Verdict]:
    """One verdict per resource. `specs` is a checkout of Azure's REST API definitions, or a part of one."""
    requests = [
        {"url": f"https://management.azure.com{resource.id}?api-version={resource.api_version}", "body": resource.body}
        for resource in resources
    ]
    return [
        Verdict(resource, answer["operation"], tuple(answer["errors"]))
        for resource, answer in zip(resources, judged(requests, _FILES, specs), strict=True)
    ]


def judged(requests: list[dict[str, Any]], files: Sequence[str], specs: Path) -> list[dict[str, Any]]:
    """What the validator says of each request (oav/validate.js), by the definitions in `files`, globs below `specs`."""
    job = {"specs": str(specs), "files": [f"specification/{file}" for file in files], "requests": requests}
    command = [str(node_binary()), str(_OAV / "validate.js"), str(fetch_packages(_OAV))]
    done = subprocess.run(command, input=json.dumps(job), text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"oav ended with code {done.returncode}: {done.stderr[-2000:]}")
    return list(json.loads(done.stdout.rpartition("\n")[2]))
