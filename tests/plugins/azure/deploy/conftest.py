"""Connections that tasks find."""

from __future__ import annotations

import pytest

from tests.plugins.azure.deploy.tries import CLUSTERS_CONNECTION


@pytest.fixture(autouse=True)
def clusters_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_CLUSTERS", CLUSTERS_CONNECTION)
