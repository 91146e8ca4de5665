"""A Databricks workspace, and the platform on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.platforms.databricks import DatabricksPlatform
from tests.plugins.platforms.databricks.drivers import platform_of
from tests.plugins.platforms.databricks.server import Server, serve
from tests.plugins.platforms.databricks.workspace import Workspace


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Every request must fit the API's types."""
    with serve(Workspace(tmp_path / "workspace")) as server:
        yield server
        assert server.unfit == []


@pytest.fixture
def databricks(server: Server) -> DatabricksPlatform:
    return platform_of(server)
