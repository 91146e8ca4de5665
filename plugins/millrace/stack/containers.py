"""Containers of the storage account."""

from __future__ import annotations

from azure.core.exceptions import ResourceExistsError

from millrace.environment import Environment

__all__ = ["ensure_container"]


def ensure_container(environment: Environment) -> bool:
    """Make the lake's container; False where it exists."""
    with environment.blob_service() as service:
        try:
            service.create_container(environment.storage.container)
        except ResourceExistsError:
            return False
    return True
