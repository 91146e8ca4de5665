"""Puts linked modules into the template that links them, so that one request deploys it all.

In the files a module is linked by `templateLink.relativePath`, as `az ts create` and template specs take it. There is
no public place to link to from a private project, so what Airflow sends is the composed template.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from millrace.azure.arm.errors import TemplateError
from millrace.azure.arm.model import DEPLOYMENTS
from millrace.home import PROJECT_ROOT

__all__ = ["LARGEST", "TEMPLATES", "compose"]

TEMPLATES = PROJECT_ROOT / "infra" / "arm"
LARGEST = 4 * 1024 * 1024  # bytes: Azure's limit for a template


def compose(path: Path = TEMPLATES / "main.json") -> dict[str, Any]:
    """The template in `path` with every linked module inside, evaluated in its own (inner) scope.

    Raises TemplateError for a file that is missing or no JSON, and for what is larger than Azure takes.
    """
    template = _composed(path)
    size = len(json.dumps(template))
    if size > LARGEST:
        raise TemplateError(f"{path}: {size} bytes with its modules; Azure takes at most {LARGEST}")
    return template


def _composed(path: Path) -> dict[str, Any]:
    template = _read(path)
    template["resources"] = [_with_module(resource, path.parent) for resource in template["resources"]]
    return template


def _with_module(resource: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    if resource["type"] != DEPLOYMENTS or "templateLink" not in resource["properties"]:
        return dict(resource)
    properties = dict(resource["properties"])
    link = properties.pop("templateLink")
    if "relativePath" not in link:
        raise TemplateError(f"{folder}: {resource['name']} links to {link}; modules are linked by relativePath")
    properties["expressionEvaluationOptions"] = {"scope": "Inner"}
    properties["template"] = _composed(folder / link["relativePath"])
    return {**resource, "properties": properties}


def _read(path: Path) -> dict[str, Any]:
    try:
        template = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TemplateError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(template, dict):
        raise TemplateError(f"{path}: a template is a JSON object")
    return template
