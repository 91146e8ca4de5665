"""SIGKILL of the process that deploys, at each of its requests: the next try finishes, and makes nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from millrace.azure.arm import Resource
from tests.azure_control_plane.cloud import Azure
from tests.infra.deployments import resources
from tests.plugins.azure.deploy.tries import A, finished

ROOT = Path(__file__).resolve().parents[4]
DEPLOYMENT = "/providers/Microsoft.Resources/deployments/[^/]+"
PATIENCE_S = 90

# Method, path, whether Azure has done it when the process dies, and how often it has been asked to deploy by then.
MOMENTS = {
    "before it asks whether it was begun before": ("GET", f"{DEPLOYMENT}$", False, 0),
    "when it has asked whether its clusters stand": ("GET", "/clusters/kafka-[^/]+$", True, 0),
    "while the template is validated": ("POST", f"{DEPLOYMENT}/validate$", True, 0),
    "while its request is on its way": ("PUT", f"{DEPLOYMENT}$", False, 0),
    "when it was begun and the answer is on its way": ("PUT", f"{DEPLOYMENT}$", True, 1),
    "while its trigger waits": ("GET", f"{DEPLOYMENT}/operations$", True, 1),
}


# Before anything was asked of Azure, one moment is as good as another to CI; a release takes all.
_EARLY = ("when it has asked whether its clusters stand", "while the template is validated")


@pytest.mark.parametrize(
    "moment", [pytest.param(one, marks=[pytest.mark.release] * (one in _EARLY), id=one) for one in MOMENTS]
)
def test_a_deployment_is_finished_by_the_next_try(azure: Azure, moment: str) -> None:
    method, path, done, begun = MOMENTS[moment]
    azure.faults.hold("/clusters/")  # nothing is finished before the process dies
    with azure.faults.stall(method, path, done=done) as stall:
        command = [sys.executable, "-m", "tests.plugins.azure.deploy.killable"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        try:
            assert stall.arrived.wait(PATIENCE_S), f"it never came to {method} {path}"
        finally:
            process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert azure.asked("PUT", "/deployments/") == begun
    assert not any(one.type == "Microsoft.HDInsight/clusters" for one in azure.manager.created)

    azure.faults.release()
    assert finished(A)["resourceGroup"] == "mr-dev"
    assert azure.asked("PUT", "/deployments/") == 1
    assert sorted(one.id for one in azure.manager.created) == sorted(one.id for one in azure_resources(azure))


def azure_resources(azure: Azure) -> list[Resource]:
    """What case A consists of, by the ids of this Azure's subscription."""
    (run,) = azure.manager.runs.values()
    assert len(resources(A)) == len(list(run.deployment.everything()))
    return list(run.deployment.everything())
