"""Azure Resource Manager: deployments to a subscription, resource groups and resources, by Azure's own paths."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from millrace.azure.arm import Deployment, Resource, Scope, TemplateError, evaluate
from tests.azure_control_plane.descriptions import described, foreseen, operations
from tests.azure_control_plane.exchange import Answer, Request, error, refusal
from tests.azure_control_plane.faults import Faults
from tests.azure_control_plane.resources import GROUP, Resources, Stored
from tests.azure_control_plane.runs import ENDED, Run

__all__ = ["MANAGEMENT", "ResourceManager"]

MANAGEMENT = "management.azure.com"
_CLUSTER, _VAULT = "Microsoft.HDInsight/clusters", "Microsoft.KeyVault/vaults"
_BY_TAG = re.compile(r"^tagName eq '([^']*)' and tagValue eq '([^']*)'$")
_BY_TYPE = re.compile(r"^resourceType eq '([^']*)'$")
_PAGE = 1  # as many deleted vaults as one answer has
_LOOKS = 2  # at the result of a long-running operation, until it is there


@dataclass
class _Operation:
    of: Request
    end: Callable[[], Answer | None]
    looks: int = _LOOKS
    ended: Answer | None = None

    def look(self) -> Answer | None:
        """Its end, when it has come."""
        self.looks -= 1
        if self.looks <= 0 and self.ended is None:
            self.ended = self.end()
        return self.ended


@dataclass
class ResourceManager:
    """One subscription. Time passes with what it is asked: each look at a deployment lets it go on by a step, and each
    look at what is being deleted brings its end nearer."""

    subscription: str
    tenant: str
    faults: Faults
    resources: Resources = field(default_factory=Resources)
    runs: dict[str, Run] = field(default_factory=dict)
    pace: int = 1
    """By how many steps a deployment goes on with each look."""
    created: list[Resource] = field(default_factory=list)
    """Every resource that was sent to be created or changed, failed ones too."""
    _operations: dict[str, _Operation] = field(default_factory=dict)

    def __call__(self, request: Request) -> Answer:
        """The answer to a request whose token is good."""
        for method, pattern, act in self._routes():
            found = re.fullmatch(pattern, request.path, re.IGNORECASE)
            if found and method == request.method:
                return act(request, *found.groups())
        return refusal(404, "InvalidResourceType", f"nothing here answers {request.method} {request.path}")

    def _routes(self) -> list[tuple[str, str, Callable[..., Answer]]]:
        base = f"/subscriptions/{self.subscription}"
        deployment = f"{base}/providers/Microsoft.Resources/deployments/([^/]+)"
        return [
            ("PUT", deployment, self._deploy),
            ("GET", deployment, self._deployment),
            ("POST", f"{deployment}/validate", self._validate),
            ("POST", f"{deployment}/whatIf", self._what_if),
            ("GET", f"({base}(?:/resourceGroups/[^/]+)?/providers/Microsoft.Resources/deployments/[^/]+)/operations",
             self._operations_of),
            ("GET", f"{base}/operationresults/(.+)", self._result),
            ("GET", f"{base}/resourcegroups", self._groups),
            ("GET", f"{base}/resources", self._list),
            ("GET", f"({base}/resourcegroups/[^/]+)/resources", self._list),
            ("GET", f"{base}/providers/Microsoft.HDInsight/clusters", self._clusters),
            ("PUT", f"({base}/resourcegroups/.+/clusters/[^/]+)", self._create_cluster),
            ("POST", f"({base}/resourcegroups/.+/clusters/[^/]+)/roles/workernode/resize", self._resize),
            ("GET", f"({base}/resourcegroups/.+)", self._read),
            ("DELETE", f"({base}/resourcegroups/.+)", self._delete),
            ("GET", f"{base}/providers/Microsoft.KeyVault/deletedVaults", self._deleted_vaults),
            ("POST", f"{base}/providers/Microsoft.KeyVault/locations/([^/]+)/deletedVaults/([^/]+)/purge", self._purge),
        ]  # fmt: skip

    def _evaluated(self, request: Request, name: str) -> Deployment:
        """Raises TemplateError for what cannot be deployed."""
        asked = request.body["properties"]
        values = {key: entry["value"] for key, entry in asked.get("parameters", {}).items()}
        scope = Scope(self.subscription, self.tenant, name, request.body["location"])
        return evaluate(asked["template"], values, scope)

    def _deploy(self, request: Request, name: str) -> Answer:
        run = self.runs.get(name.lower())
        if run and run.state not in ENDED:
            text = f"Unable to edit or replace deployment '{name}': previous deployment is still active."
            return refusal(409, "DeploymentActive", text)
        try:
            deployment = self._evaluated(request, name)
        except TemplateError as problem:
            return refusal(400, "InvalidTemplate", f"Deployment template validation failed: '{problem}'.")
        leaving = [one for one in deployment.resources if self._is_leaving(one.id)]
        if leaving:
            text = (
                f"The resource group '{leaving[0].name}' is in deprovisioning state and cannot perform this operation."
            )
            return refusal(409, "ResourceGroupBeingDeleted", text)
        identifier = f"/subscriptions/{self.subscription}/providers/Microsoft.Resources/deployments/{name}"
        self.runs[name.lower()] = new = Run(identifier, deployment, request.body, self._create)
        status = f"https://{MANAGEMENT}{identifier}/operationStatuses/{secrets.token_hex(8)}?api-version=2024-03-01"
        return Answer(200 if run else 201, described(new), {"Azure-AsyncOperation": status, "Retry-After": "1"})

    def _deployment(self, _: Request, name: str) -> Answer:
        run = self.runs.get(name.lower())
        if run is None:
            return refusal(404, "DeploymentNotFound", f"Deployment '{name}' could not be found.")
        for _step in range(self.pace):
            run.advance()
        return Answer(200, described(run))

    def _validate(self, request: Request, name: str) -> Answer:
        try:
            deployment = self._evaluated(request, name)
        except TemplateError as problem:
            inside = error("InvalidTemplate", f"Deployment template validation failed: '{problem}'.")
            return Answer(400, {"error": error("InvalidTemplateDeployment", "The template is not valid.", [inside])})
        valid = described(Run(f"{request.path.rpartition('/')[0]}", deployment, request.body, self._create))
        properties = {**valid["properties"], "provisioningState": "Succeeded"}
        return self._long(request, lambda: Answer(200, {"properties": properties}))

    def _what_if(self, request: Request, name: str) -> Answer:
        def end() -> Answer:
            try:
                changes = foreseen(self._evaluated(request, name), self.resources)
            except TemplateError as problem:
                return Answer(200, {"status": "Failed", "error": error("InvalidTemplate", str(problem))})
            return Answer(200, {"status": "Succeeded", "properties": {"changes": changes}})

        return self._long(request, end)

    def _operations_of(self, _: Request, identifier: str) -> Answer:
        for run in [inside for outer in self.runs.values() for inside in outer.everything()]:
            if run.id.lower() == identifier.lower():
                return Answer(200, operations(run))
        return refusal(404, "DeploymentNotFound", f"Deployment '{identifier}' could not be found.")

    def _create(self, resource: Resource) -> Mapping[str, Any] | str:
        disturbed, stored = self.faults.of(resource), self.resources.find(resource.id)
        if disturbed == "Running":
            if resource.type == _CLUSTER and not stored:
                self.resources.put(resource, "InProgress")
            return disturbed
        self.created.append(resource)
        if resource.type == _CLUSTER and stored and (stored.state, stored.resource) != ("InProgress", resource):
            text = f"cluster {resource.name} exists in state {stored.state}; it cannot be changed by a deployment"
            return error("Conflict", text)
        if resource.type == _VAULT and resource.name in self.resources.deleted_vaults:
            text = (
                "A vault with the same name already exists in deleted state. "
                "You need to either recover or purge existing key vault."
            )
            return error("ConflictError", text)
        if disturbed:  # what failed is there, and says so
            self.resources.put(resource, "Failed")
            return disturbed
        self.resources.put(resource)
        return "Succeeded"

    def _groups(self, request: Request) -> Answer:
        self._go_on_deleting()
        found = _filtered(self.resources.groups(), request.query.get("$filter"))
        return Answer(200, {"value": [self.resources.described(stored) for stored in found]})

    def _list(self, request: Request, group: str = "") -> Answer:
        """Of what is found by a tag Azure tells no tags."""
        asked = request.query.get("$filter")
        there = [stored for stored in self.resources.others() if stored.resource.id.lower().startswith(group.lower())]
        found = [self.resources.described(stored) for stored in _filtered(there, asked)]
        shown = ["id", "name", "type", "location", *([] if asked and _BY_TAG.match(asked) else ["tags"])]
        return Answer(200, {"value": [{key: one[key] for key in shown if key in one} for one in found]})

    def _read(self, request: Request, identifier: str) -> Answer:
        stored = self.resources.find(identifier)
        if stored is None:
            return _not_found(request, identifier)
        stored.looks += 1
        self._go_on_with(identifier)
        stored = self.resources.find(identifier)
        return Answer(200, self.resources.described(stored)) if stored else _not_found(request, identifier)

    def _delete(self, request: Request, identifier: str) -> Answer:
        stored = self.resources.find(identifier)
        if stored is None:
            return _not_found(request, identifier) if identifier.count("/") == 4 else Answer(204)
        if manager := stored.resource.body.get("managedBy"):
            text = f"The access is denied by the deny assignment of the managed application '{manager}'."
            return refusal(403, "DenyAssignmentAuthorizationFailed", text)
        stored.state = "Deleting"

        def end() -> Answer:
            self.resources.delete(identifier)
            return Answer(200)

        return self._long(request, end)

    def _clusters(self, _: Request) -> Answer:
        self._go_on_deleting()
        every = [stored for stored in self.resources.others() if stored.resource.type == _CLUSTER]
        return Answer(200, {"value": [self.resources.described(stored) for stored in every]})

    def _create_cluster(self, request: Request, identifier: str) -> Answer:
        """Beside any deployment: it takes its time, and says in itself how it went."""
        name = identifier.rpartition("/")[2]
        if self.resources.find(identifier):
            return Answer(409, {"code": "ConflictingOperation", "message": f"cluster {name} exists"})
        resource = Resource(identifier, _CLUSTER, name, request.query["api-version"], request.body, ())
        self.created.append(resource)
        self.resources.put(resource, "InProgress")

        def end() -> Answer | None:
            disturbed = self.faults.of(resource)
            if disturbed == "Running":
                return None
            self.resources.put(resource, "Failed" if disturbed else "Succeeded")
            stored = self.resources.known[resource.id.lower()]
            stored.error = disturbed if isinstance(disturbed, Mapping) else None
            return Answer(200, self.resources.described(stored))

        self._long(request, end)
        return Answer(200, self.resources.described(self.resources.known[resource.id.lower()]))

    def _resize(self, request: Request, identifier: str) -> Answer:
        stored = self.resources.find(identifier)
        if stored is None:
            return _not_found(request, identifier)
        if stored.state != "Succeeded":
            return Answer(409, {"code": "ConflictingOperation", "message": f"cluster {stored.resource.name} is busy"})
        stored.state = "InProgress"
        body = json.loads(json.dumps(stored.resource.body))
        roles = body["properties"]["computeProfile"]["roles"]
        workers = next(role for role in roles if role["name"] == "workernode")
        workers["targetInstanceCount"] = request.body["targetInstanceCount"]

        def end() -> Answer:
            self.resources.put(dataclasses.replace(stored.resource, body=body))
            return Answer(200)

        return self._long(request, end)

    def _deleted_vaults(self, request: Request) -> Answer:
        """A page of them, and where the next one is."""
        self._go_on_deleting()
        base = f"/subscriptions/{self.subscription}/providers/Microsoft.KeyVault/locations"
        vaults = [
            {"id": f"{base}/{told['location']}/deletedVaults/{name}", "name": name, "properties": told}
            for name, told in self.resources.deleted_vaults.items()
        ]
        first = int(request.query.get("$skiptoken", "0"))
        page: dict[str, Any] = {"value": vaults[first : first + _PAGE]}
        if len(vaults) > first + _PAGE:
            query = {"api-version": request.query["api-version"], "$skiptoken": str(first + _PAGE)}
            page["nextLink"] = Request("GET", MANAGEMENT, request.path, query, {}).url
        return Answer(200, page)

    def _purge(self, request: Request, _: str, name: str) -> Answer:
        if name not in self.resources.deleted_vaults:
            return refusal(404, "DeletedVaultNotFound", f"The vault '{name}' is not deleted.")

        def end() -> Answer:
            self.resources.deleted_vaults.pop(name, None)
            return Answer(200)

        return self._long(request, end)

    def _go_on_with(self, identifier: str) -> None:
        """What is done to a resource itself, and to a cluster's workers."""
        for operation in self._operations.values():
            if operation.of.path.lower().partition("/roles/")[0] == identifier.lower():
                operation.look()

    def _go_on_deleting(self) -> None:
        for operation in self._operations.values():
            if operation.of.method == "DELETE" or operation.of.path.endswith("/purge"):
                operation.look()

    def _long(self, request: Request, end: Callable[[], Answer | None]) -> Answer:
        token = secrets.token_hex(12)
        self._operations[token] = _Operation(request, end)
        return Answer(202, None, self._where(token))

    def _result(self, _: Request, token: str) -> Answer:
        operation = self._operations.get(token)
        if operation is None:
            return refusal(404, "OperationNotFound", f"Operation '{token}' could not be found.")
        ended = operation.look()
        if ended is None:
            return Answer(202, None, self._where(token), operation.of)
        return Answer(ended.status, ended.body, ended.headers, operation.of)

    def _where(self, token: str) -> dict[str, str]:
        path = f"/subscriptions/{self.subscription}/operationresults/{token}"
        return {"Location": f"https://{MANAGEMENT}{path}?api-version=2024-03-01", "x-ms-retry-after-ms": "50"}

    def _is_leaving(self, identifier: str) -> bool:
        stored = self.resources.find(identifier)
        return bool(stored and stored.resource.type == GROUP and stored.state == "Deleting")


def _filtered(found: list[Stored], asked: str | None) -> list[Stored]:
    if not asked:
        return found
    by_tag, by_type = _BY_TAG.match(asked), _BY_TYPE.match(asked)
    if by_tag:
        return [stored for stored in found if stored.tags.get(by_tag[1]) == by_tag[2]]
    if by_type:
        return [stored for stored in found if stored.resource.type.lower() == by_type[1].lower()]
    raise ValueError(f"$filter {asked!r} is none that the tests' Azure knows")


def _not_found(request: Request, identifier: str) -> Answer:
    """Azure Resource Manager says so itself, in its form; HDInsight's definition, which has another, is not asked."""
    name = identifier.rpartition("/")[2]
    if identifier.count("/") == 4:
        return refusal(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
    group = Request("GET", request.host, "/".join(identifier.split("/")[:5]), {"api-version": "2024-03-01"}, {})
    answer = refusal(404, "ResourceNotFound", f"The Resource '{name}' was not found.")
    return Answer(answer.status, answer.body, of=group)
