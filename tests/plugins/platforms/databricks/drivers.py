"""Jobs whose drivers are small Python programs: a wheel as real as any, with another `jobs.driver` in it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import timedelta

from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.service.compute import ClusterSpec, DataSecurityMode

from millrace.platforms.databricks import DatabricksPlatform, Launch
from millrace.platforms.databricks_client import Workspace
from millrace.platforms.databricks_code import uploaded_wheel
from millrace.platforms.databricks_runs import driver_task
from millrace.platforms.databricks_runtime import RUNTIME
from tests.plugins.platforms.databricks.server import Server

__all__ = ["CODE", "TOKEN", "launch_into", "platform_of", "workspace_client"]

CODE = "/Volumes/main/millrace/code"
TOKEN = "dapi-0123456789abcdef"
POLICY = {"spark_version": {"type": "fixed", "value": RUNTIME}}
DRIVER = "def main(arguments):\n    kind, script = arguments\n    exec(script, {'__name__': 'script'})\n    return 0\n"


def package() -> bytes:
    """A package `jobs` whose driver runs its second argument."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("jobs/__init__.py", "")
        archive.writestr("jobs/driver.py", DRIVER)
    return written.getvalue()


def workspace_client(server: Server, token: Callable[[], str] = lambda: TOKEN) -> Workspace:
    """With a personal access token."""
    server.access.add(TOKEN)
    return Workspace(
        server.host,
        lambda: WorkspaceClient(
            config=Config(host=server.host, token=token(), auth_type="pat", retry_timeout_seconds=20)
        ),
    )


def launch_into(server: Server, workspace: Workspace) -> Launch:
    """As the platform's own, with the scripts' package; its policy is there."""
    policy = server.workspace.create_policy(name="millrace", definition=json.dumps(POLICY))["policy_id"]
    cluster = ClusterSpec(
        spark_version=RUNTIME,
        policy_id=policy,
        node_type_id="Standard_D4ds_v5",
        num_workers=1,
        data_security_mode=DataSecurityMode.SINGLE_USER,
    )
    return lambda job, submission: driver_task(job, submission, uploaded_wheel(workspace, CODE, package()), cluster)


def platform_of(server: Server) -> DatabricksPlatform:
    """The platform on this server; each call is what another process would make."""
    workspace = workspace_client(server)
    launch = launch_into(server, workspace)
    return DatabricksPlatform(workspace, launch, "millrace/test/", CODE, timedelta(seconds=20), timedelta(seconds=0.05))
