"""The DAG `scale`, run by Airflow's own rules: what the form says comes to Azure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from millrace.home import PROJECT_ROOT
from tests.azure_control_plane.cloud import Azure
from tests.plugins.azure.deploy.tries import finished

pytestmark = [pytest.mark.release, pytest.mark.timeout(600)]

FORM = {"prefix": "mr", "size": "dev", "cluster": "kafka", "workers": 5, "approve": True}


def brokers(azure: Azure) -> int:
    (kafka,) = (one.resource for one in azure.manager.resources.others() if one.resource.name.startswith("kafka-"))
    roles = kafka.body["properties"]["computeProfile"]["roles"]
    return next(int(role["targetInstanceCount"]) for role in roles if role["name"] == "workernode")


def test_the_form_becomes_workers_and_a_second_run_asks_for_nothing(azure: Azure, tmp_path: Path) -> None:
    finished()
    env = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
        "PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT), str(PROJECT_ROOT / "plugins")]),
    }

    def run(**form: object) -> dict[str, str]:
        program = [sys.executable, str(Path(__file__).with_name("run_dag.py")), str(PROJECT_ROOT / "dags" / "scale.py")]
        command = [*program, json.dumps({**FORM, **form})]
        done = subprocess.run(command, env=env, cwd=PROJECT_ROOT, text=True, capture_output=True, check=False)
        told = [line for line in done.stdout.splitlines() if line.startswith("@")]
        assert told, (done.stdout + done.stderr)[-5000:]
        return dict(json.loads(told[-1][1:]))

    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(migrate, env=env, cwd=PROJECT_ROOT, capture_output=True, check=True)
    assert run() == dict.fromkeys(["plan", "is_change", "approve", "workers"], "success")
    assert brokers(azure) == 5
    states = run()
    assert (states["is_change"], states["approve"], states["workers"]) == ("success", "skipped", "skipped")
    assert azure.asked("POST", "/roles/workernode/resize") == 1
