"""Microsoft's JSON schemas of resources in templates, made strict: a property that they do not know is an error."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator
from referencing import Registry
from referencing import Resource as Document
from referencing.jsonschema import DRAFT4

from millrace.azure.arm import Resource

_HOST = "https://schema.management.azure.com/schemas/"
_SECTIONS = ("resourceDefinitions", "subscription_resourceDefinitions", "unknown_resourceDefinitions")


class ArmSchemas:
    """The schemas below a folder, by resource type."""

    def __init__(self, folder: Path) -> None:
        self._documents = {file.relative_to(folder).as_posix(): _read(file) for file in sorted(folder.rglob("*.json"))}
        documents = ((_HOST + name, Document(document, DRAFT4)) for name, document in self._documents.items())
        self._registry: Registry[Any] = Registry().with_resources(documents)

    def errors_of_document(self, name: str, document: dict[str, Any]) -> list[str]:
        """What the schema `name`, such as `2019-04-01/deploymentParameters.json`, finds wrong with a whole file."""
        return self._errors({"$ref": _HOST + name}, document)

    def api_versions(self, resource_type: str) -> list[str]:
        """The api-versions that there are schemas of, oldest first; none for an unknown type."""
        return sorted(self._by_type().get(resource_type.lower(), {}))

    def judging(self, resource: Resource) -> str:
        """The api-version whose schema judges a resource: its own, or else the newest there is."""
        versions = self.api_versions(resource.type)
        return resource.api_version if resource.api_version in versions else versions[-1]

    def errors(self, resource: Resource) -> list[str]:
        """What is wrong with a resource by the schema that judges it."""
        versions, version = self._by_type()[resource.type.lower()], self.judging(resource)
        whole = {"type": resource.type, "apiVersion": version, **resource.body}
        # Of a child, some schemas describe the whole name and some its last part.
        names = (resource.name, resource.name.rpartition("/")[2])
        return min((self._errors({"$ref": versions[version]}, whole | {"name": name}) for name in names), key=len)

    def _errors(self, schema: dict[str, Any], document: dict[str, Any]) -> list[str]:
        found = Draft4Validator(schema, registry=self._registry).iter_errors(document)
        return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in found]

    @lru_cache(maxsize=1)  # noqa: B019 - one instance per test session
    def _by_type(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for name, document in self._documents.items():
            for section in _SECTIONS:
                for key, schema in document.get(section, {}).items():
                    kind = schema["properties"]["type"]["enum"][0].lower()
                    found.setdefault(kind, {})[name.partition("/")[0]] = f"{_HOST}{name}#/{section}/{key}"
        return found


def _read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    for section in (*_SECTIONS, "definitions"):
        for schema in document.get(section, {}).values():
            if "Template" not in file.name and "common" not in file.parts:
                _close(schema)
    return document


def _close(schema: Any) -> None:
    """Forbid properties that an object's schema does not name."""
    if isinstance(schema, list):
        for each in schema:
            _close(each)
    elif isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object" and not {"oneOf", "allOf"} & set(schema):
            schema.setdefault("additionalProperties", False)
        for key, each in schema.items():
            if key not in ("enum", "required"):
                _close(each)
