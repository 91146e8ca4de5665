"""The DAG `scale`, run by Airflow's own rules: what the form says comes to Azure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.azure_control_plane.cloud import Azure
from tests.plugins.azure.deploy.dag_runs import DagRuns
from tests.plugins.azure.deploy.tries import finished

pytestmark = [pytest.mark.release, pytest.mark.timeout(600)]

FORM = {"prefix": "mr", "size": "dev", "cluster": "kafka", "workers": 5, "approve": True}


def brokers(azure: Azure) -> int:
    (kafka,) = (one.resource for one in azure.manager.resources.others() if one.resource.name.startswith("kafka-"))
    roles = kafka.body["properties"]["computeProfile"]["roles"]
    return next(int(role["targetInstanceCount"]) for role in roles if role["name"] == "workernode")


def test_the_form_becomes_workers_and_a_second_run_asks_for_nothing(azure: Azure, tmp_path: Path) -> None:
    finished()
    dags = DagRuns(tmp_path)
    assert dags.run("scale", FORM).states == dict.fromkeys(["plan", "is_change", "approve", "workers"], "success")
    assert brokers(azure) == 5
    again = dags.run("scale", FORM)
    assert again.ended("is_change", "approve", "workers") == ["success", "skipped", "skipped"]
    assert azure.asked("POST", "/roles/workernode/resize") == 1
