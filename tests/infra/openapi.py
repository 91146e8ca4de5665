"""Microsoft's own validator of requests (npm `oav`), given each evaluated resource as the PUT that it would become."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.azure.arm import Resource
from millrace.stack.node import fetch_packages, node_binary

Judge = Callable[[Mapping[str, Any]], dict[str, Any]]
"""A question for oav/validate.js, and its answer: `{"operation", "errors"}`."""

_OAV = Path(__file__).parent / "oav"
# The definitions of what the templates use; loading all of them takes a minute.
FILES = (
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
    with validator(FILES, specs) as judge:
        return [_verdict(resource, judge) for resource in resources]


def _verdict(resource: Resource, judge: Judge) -> Verdict:
    url = f"https://management.azure.com{resource.id}?api-version={resource.api_version}"
    told = judge({"method": "PUT", "url": url, "body": resource.body})
    return Verdict(resource, told["operation"], tuple(told["errors"]))


@contextmanager
def validator(files: Sequence[str], specs: Path) -> Iterator[Judge]:
    """A function that says what the validator says of a request (oav/validate.js), by the definitions in `files`: globs
    below `specs`. Loading them takes seconds, each request milliseconds."""
    command = [str(node_binary()), str(_OAV / "validate.js"), str(fetch_packages(_OAV))]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True) as node,
    ):
        asked, answers = node.stdin, node.stdout
        assert asked is not None
        assert answers is not None

        def judge(question: Mapping[str, Any]) -> dict[str, Any]:
            print(json.dumps(question), file=asked, flush=True)
            for line in answers:
                if line.startswith("@"):
                    return dict(json.loads(line[1:]))
            said.seek(0)
            raise RuntimeError(f"oav ended with code {node.wait()}: {said.read()[-2000:]}")

        definitions = {"specs": str(specs), "files": [f"specification/{file}" for file in files]}
        print(json.dumps(definitions), file=asked, flush=True)
        yield judge
        asked.close()
