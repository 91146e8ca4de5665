"""Reads parameter files: `infra/arm/parameters/<size>.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from millrace.azure.arm.errors import TemplateError

__all__ = ["read_parameters"]


def read_parameters(path: Path) -> dict[str, Any]:
    """Plain values by parameter name. Raises TemplateError for a file that is none of Azure's form."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["parameters"]
        return {name: entry["value"] for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TemplateError(f"{path}: no parameter file with a value for each parameter: {error!r}") from error
