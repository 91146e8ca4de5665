"""Nothing of `provision` goes on where the peered networks are not connected: by Airflow's own rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.azure_control_plane.cloud import Azure
from tests.plugins.azure.deploy.dag_runs import DagRuns
from tests.plugins.azure.deploy.form import FORM

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def test_a_peering_that_is_cut_off_ends_the_run_before_brokers_are_touched(azure: Azure, tmp_path: Path) -> None:
    azure.manager.resources.is_cut_off = True
    run = DagRuns(tmp_path / "airflow").run("provision", {**FORM, "layout": "databricks"})
    assert run.state == "failed"
    assert run.ended("azure.deploy", "azure.peered") == ["success", "failed"], run.said[-9000:]
    after = ("records", "named", "advertised", "endpoints", "topics", "reached")
    assert set(run.ended(*(f"azure.{name}" for name in after))) == {"upstream_failed"}
    assert "Disconnected; delete what is left of it on both sides" in run.said
