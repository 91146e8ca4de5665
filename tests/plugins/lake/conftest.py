"""A lake of each test's own on real Azure Storage (Azurite)."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from millrace.environment import Environment


@pytest.fixture
def own_lake(environment: Environment) -> Environment:
    return replace(environment, lake=f"{environment.lake}/{uuid.uuid4().hex}")
