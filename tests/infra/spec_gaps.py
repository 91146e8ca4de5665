"""A copy of Azure's REST definitions that the validator can load and search.

Filled is what a part of them refers to and lacks, shared files of path parameters and base types, with Azure's own
`common-types`, with a plain string for each path parameter, and any object for each type (a private endpoint's
connection, which no template sets), that those do not have.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

_REFERENCE = re.compile(r'"\$ref":\s*"([^"#]+)#/(definitions|parameters)/([^"]+)"')
_DNS_RECORDS = ("A", "AAAA", "CNAME", "MX", "PTR", "SOA", "SRV", "TXT")
_COMMON = "specification/common-types/resource-management/v1/types.json"


def without_gaps(specs: Path, folder: Path) -> Path:
    """A copy of `specs` below `folder`, without examples, in which every file that is referred to is there."""
    copy = folder / "specs"
    shutil.copytree(specs, copy, ignore=shutil.ignore_patterns("examples"))
    for file in copy.glob("specification/privatedns/**/privatedns.json"):
        file.write_text(json.dumps(_with_record_types(json.loads(file.read_text(encoding="utf-8")))), encoding="utf-8")
    missing: defaultdict[Path, set[tuple[str, str]]] = defaultdict(set)
    for file in copy.rglob("*.json"):
        for reference, section, name in _REFERENCE.findall(file.read_text(encoding="utf-8")):
            target = (file.parent / reference).resolve()
            if not target.exists():
                missing[target].add((section, name))
    for target, asked in missing.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(_stand_in(copy / _COMMON, asked)), encoding="utf-8")
    return copy


def _with_record_types(document: dict[str, Any]) -> dict[str, Any]:
    """A path for each type of DNS record, so that a network's link is not taken for a record: the validator finds a
    request's path before it looks at which values a parameter may have."""
    paths: dict[str, Any] = {}
    for path, operations in document["paths"].items():
        if "{recordType}" not in path:
            paths[path] = operations
            continue
        for kind in _DNS_RECORDS:
            paths[path.replace("{recordType}", kind)] = {
                method: operation | {"parameters": [one for one in operation["parameters"] if not _names_a_type(one)]}
                for method, operation in operations.items()
            }
    return document | {"paths": paths}


def _names_a_type(parameter: dict[str, Any]) -> bool:
    return parameter.get("name") == "recordType"


def _stand_in(common: Path, asked: set[tuple[str, str]]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(common.read_text(encoding="utf-8"))
    for section, name in asked:
        document[section].setdefault(name, {"type": "object"} if section == "definitions" else _path_parameter(name))
    return document


def _path_parameter(name: str) -> dict[str, Any]:
    spelled = name.removesuffix("Parameter")
    spelled = spelled[0].lower() + spelled[1:]
    return {"name": spelled, "in": "path", "required": True, "type": "string", "x-ms-parameter-location": "method"}
