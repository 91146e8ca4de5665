"""A Databricks workspace on this machine: the Jobs, Files and cluster policy APIs, stateful, and its runs really run.

Written from Databricks' reference (https://docs.databricks.com/api/azure/workspace/jobs), not from the platform. What
comes in and what goes out is held against the types of Databricks' SDK: a request that does not fit is answered with
400 and kept in `Server.unfit`.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from databricks.sdk.service.compute import ClusterPoliciesAPI, ListPoliciesResponse
from databricks.sdk.service.jobs import (
    CreateResponse,
    Job,
    JobsAPI,
    JobSettings,
    ListJobsResponse,
    ListRunsResponse,
    Run,
    RunNowResponse,
    RunOutput,
    SubmitRunResponse,
)
from databricks.sdk.service.workspace import ListScopesResponse, ListSecretsResponse, SecretsAPI

from tests.plugins.platforms.databricks.runs import SECRET, RefusedRunError, RunProcess, now_ms
from tests.plugins.platforms.databricks.wire_types import check, check_body, check_query

__all__ = ["ApiError", "Workspace"]

RESTART_DELAY_S = 30.0
MAX_PAGE = 26


class ApiError(Exception):
    """An error as the API tells it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class Workspace:
    """All that a workspace knows. `variables` is what every run's process gets of this machine's environment."""

    root: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    startup_s: float = 0.0
    is_list_behind: bool = False
    restart_delay_s: float = RESTART_DELAY_S
    secrets: dict[tuple[str, str], str] = field(default_factory=dict)
    jobs: dict[int, dict[str, Any]] = field(default_factory=dict)
    runs: dict[int, RunProcess] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    scopes: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[tuple[str, str], int] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(700_000_000_000_001, 1_000_003))

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> dict[str, Any]:
        """Of one request; raises ApiError, and WireTypeError for what does not fit the API's types."""
        try:
            operation, asked, given = _OPERATIONS[method, path]
        except KeyError:
            raise ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'") from None
        if method == "GET":
            check_query(query, asked)
        else:
            check_body(body, asked)
        with self.lock:
            found = operation(self, **(query if method == "GET" else body))
        if given is not None:
            check(found, given, path)
        return found

    @contextmanager
    def scheduled(self) -> Iterator[None]:
        """Continuous jobs are started meanwhile."""
        stop = threading.Event()

        def schedule() -> None:
            while not stop.wait(0.02):
                with self.lock:
                    self._start_continuous()

        thread = threading.Thread(target=schedule, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            for run in self.runs.values():
                run.kill()

    # Jobs

    def create(self, **settings: Any) -> dict[str, Any]:
        number = next(self.numbers)
        self._check_settings(settings)
        self.jobs[number] = {"job_id": number, "created_time": now_ms(), "settings": dict(settings)}
        return {"job_id": number}

    def reset(self, job_id: int, new_settings: dict[str, Any]) -> dict[str, Any]:
        self._check_settings(new_settings)
        self._job(job_id)["settings"] = dict(new_settings)
        return {}

    def update(self, job_id: int, new_settings: dict[str, Any]) -> dict[str, Any]:
        """Top-level fields are replaced."""
        settings = self._job(job_id)["settings"] | new_settings
        self._check_settings(settings)
        self._job(job_id)["settings"] = settings
        return {}

    def delete(self, job_id: int) -> dict[str, Any]:
        del self.jobs[self._job(job_id)["job_id"]]
        return {}

    def get(self, job_id: str) -> dict[str, Any]:
        return self._job(int(job_id))

    def list(self, name: str | None = None, limit: str = "20", page_token: str = "0") -> dict[str, Any]:
        """Without tasks. The filter ignores case."""
        found = [job for job in self.jobs.values() if name is None or job["settings"]["name"].lower() == name.lower()]
        brief = [{**job, "settings": _without(job["settings"], "tasks")} for job in reversed(found)]
        return _page("jobs", brief, int(limit), int(page_token), 100)

    # Runs

    def run_now(self, job_id: int, idempotency_token: str | None = None) -> dict[str, Any]:
        job = self._job(job_id)
        key = (str(job_id), idempotency_token or "")
        if known := self._run_of(idempotency_token, key):
            return known
        run = self._start(job["settings"]["name"], job["settings"]["tasks"][0], "JOB_RUN", job_id)
        if idempotency_token:
            self.tokens[key] = run.run_id
        return {"run_id": run.run_id}

    def submit(self, run_name: str, tasks: list[dict[str, Any]], idempotency_token: str = "") -> dict[str, Any]:
        _limit_token(idempotency_token)
        key = ("", idempotency_token)
        if known := self._run_of(idempotency_token, key):
            return known
        self._check_task(tasks[0])
        run = self._start(run_name, tasks[0], "SUBMIT_RUN", next(self.numbers))
        if idempotency_token:
            self.tokens[key] = run.run_id
        return {"run_id": run.run_id}

    def _run_of(self, token: str | None, key: tuple[str, str]) -> dict[str, Any] | None:
        """What this token has started; Databricks refuses one whose run is removed."""
        if not token or key not in self.tokens:
            return None
        if self.tokens[key] not in self.runs:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"the run {self.tokens[key]} of this token was deleted")
        return {"run_id": self.tokens[key]}

    def get_run(self, run_id: str) -> dict[str, Any]:
        return self._run(int(run_id)).as_run(with_tasks=True)

    def list_runs(
        self,
        job_id: str | None = None,
        active_only: str = "false",
        run_type: str | None = None,
        expand_tasks: str = "false",
        limit: str = "20",
        page_token: str = "0",
    ) -> dict[str, Any]:
        """Newest first."""
        found = [
            run.as_run(expand_tasks == "true")
            for run in sorted(self.runs.values(), key=lambda run: (run.start_time, run.run_id), reverse=True)
            if not self.is_list_behind
            and (job_id is None or run.job_id == int(job_id))
            and (run_type is None or run.run_type == run_type)
            and (run.is_live or active_only == "false")
        ]
        return _page("runs", found, int(limit), int(page_token), MAX_PAGE)

    def cancel_run(self, run_id: int) -> dict[str, Any]:
        self._run(run_id).cancel()
        return {}

    def get_run_output(self, run_id: str) -> dict[str, Any]:
        """Of a task's run; its logs are there once it has ended."""
        run = self._run(int(run_id) - 1)
        output = {"metadata": run.as_run(with_tasks=False)}
        return output if run.is_live else {**output, "logs": run.log, "logs_truncated": False, **run.failure}

    # Policies

    def create_policy(self, **policy: Any) -> dict[str, Any]:
        number = f"{next(self.numbers):X}"
        self.policies[number] = {"policy_id": number, **policy}
        return {"policy_id": number}

    def edit_policy(self, policy_id: str, **policy: Any) -> dict[str, Any]:
        self.policies[policy_id] = {"policy_id": policy_id, **policy}
        return {}

    def list_policies(self) -> dict[str, Any]:
        return {"policies": list(self.policies.values())}

    # Secrets

    def create_scope(
        self, scope: str, scope_backend_type: str, backend_azure_keyvault: dict[str, str]
    ) -> dict[str, Any]:
        self.scopes[scope] = {
            "name": scope,
            "backend_type": scope_backend_type,
            "keyvault_metadata": backend_azure_keyvault,
        }
        return {}

    def list_scopes(self) -> dict[str, Any]:
        return {"scopes": list(self.scopes.values())}

    def list_secrets(self, scope: str) -> dict[str, Any]:
        """Their names."""
        return {"secrets": [{"key": key} for where, key in self.secrets if where == scope]}

    # Within

    def file(self, path: str) -> Path:
        """Where a volume's file lies on this machine. A cluster's logs are delivered as they are written."""
        parts = path.strip("/").split("/")
        cluster = next((part for part in parts if part.startswith("cluster-")), None)
        if cluster and parts[-2:] == ["driver", "stdout"]:
            return self.runs[int(cluster.removeprefix("cluster-"))].folder / "log"
        return self.root / "files" / Path(*parts)

    def live_runs(self, name: str | None = None) -> list[RunProcess]:
        return [run for run in list(self.runs.values()) if run.is_live and name in (None, run.name)]

    def _start_continuous(self) -> None:
        for job in list(self.jobs.values()):
            runs = [run for run in self.runs.values() if run.job_id == job["job_id"]]
            is_due = all(not run.is_live and now_ms() - run.end_time >= self.restart_delay_s * 1000 for run in runs)
            if job["settings"].get("continuous", {}).get("pause_status") == "UNPAUSED" and is_due:
                self._start(job["settings"]["name"], job["settings"]["tasks"][0], "JOB_RUN", job["job_id"])

    def _start(self, name: str, task: dict[str, Any], run_type: str, job: int) -> RunProcess:
        number = next(self.numbers)
        is_busy = any(run.job_id == job for run in self.live_runs())
        run = RunProcess(number, name, run_type, task, job, self.root / "runs" / str(number), self.startup_s)
        self.runs[number] = run
        if is_busy:
            run.state, run.code, run.end_time = "TERMINATED", "MAX_CONCURRENT_RUNS_EXCEEDED", now_ms()
        else:
            run.start(self._launch)
        return run

    def _launch(self, run: RunProcess) -> tuple[Path, Mapping[str, str]]:
        """What a cluster does before it calls the entry point: secrets, settings, libraries."""
        conf = {key: self._resolved(value) for key, value in run.task["new_cluster"].get("spark_conf", {}).items()}
        path = run.folder / "spark.properties"
        path.touch(mode=0o600)
        path.write_text("".join(f"{key} {value}\n" for key, value in conf.items()))
        [wheel] = [self.file(library["whl"]) for library in run.task["libraries"]]
        if not wheel.exists():
            raise RefusedRunError("LIBRARY_INSTALLATION_ERROR", f"Library installation failed: {wheel.name}")
        arguments = f"--properties-file {path} pyspark-shell"
        return wheel, {**self.variables, "PYSPARK_SUBMIT_ARGS": arguments, "PATH": os.environ["PATH"]}

    def _resolved(self, value: str) -> str:
        found = SECRET.fullmatch(value)
        if found is None:
            return value
        try:
            return self.secrets[found[1], found[2]]
        except KeyError:
            raise RefusedRunError("INVALID_CLUSTER_REQUEST", f"Secret does not exist: {value}") from None

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        check(settings, JobSettings, "settings")
        for task in settings.get("tasks", []):
            self._check_task(task)
            if "continuous" in settings and task.get("max_retries"):
                raise ApiError(400, "INVALID_PARAMETER_VALUE", "Retry policies are not supported in continuous jobs")

    def _check_task(self, task: Mapping[str, Any]) -> None:
        cluster = task["new_cluster"]
        policy = self.policies.get(cluster.get("policy_id", ""))
        if policy is None:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Policy {cluster.get('policy_id')} does not exist")
        for name, rule in json.loads(policy["definition"]).items():
            if rule["type"] == "fixed" and name != "cluster_type" and cluster.get(name) != rule["value"]:
                message = f"Validation failed for {name}, the value must be {rule['value']}"
                raise ApiError(400, "INVALID_PARAMETER_VALUE", message)

    def _job(self, job_id: int) -> dict[str, Any]:
        if job_id not in self.jobs:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Job {job_id} does not exist.")
        return self.jobs[job_id]

    def _run(self, run_id: int) -> RunProcess:
        if run_id not in self.runs:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Run {run_id} does not exist.")
        return self.runs[run_id]


def _page(name: str, found: list[Any], limit: int, start: int, most: int) -> dict[str, Any]:
    if not 0 < limit <= most:
        raise ApiError(400, "INVALID_PARAMETER_VALUE", f"limit must be in 1..{most}, is {limit}")
    page: dict[str, Any] = {name: found[start : start + limit], "has_more": start + limit < len(found)}
    return page | ({"next_page_token": str(start + limit)} if page["has_more"] else {})


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def _limit_token(token: str) -> None:
    if len(token) > 64:
        raise ApiError(400, "INVALID_PARAMETER_VALUE", "idempotency_token has more than 64 characters")


Operation = tuple[Callable[..., dict[str, Any]], Callable[..., Any], Any]
_JOBS, _POLICIES, _SECRETS = "/api/2.2/jobs", "/api/2.0/policies/clusters", "/api/2.0/secrets"
_OPERATIONS: dict[tuple[str, str], Operation] = {
    ("POST", f"{_JOBS}/create"): (Workspace.create, JobsAPI.create, CreateResponse),
    ("POST", f"{_JOBS}/reset"): (Workspace.reset, JobsAPI.reset, None),
    ("POST", f"{_JOBS}/update"): (Workspace.update, JobsAPI.update, None),
    ("POST", f"{_JOBS}/delete"): (Workspace.delete, JobsAPI.delete, None),
    ("GET", f"{_JOBS}/get"): (Workspace.get, JobsAPI.get, Job),
    ("GET", f"{_JOBS}/list"): (Workspace.list, JobsAPI.list, ListJobsResponse),
    ("POST", f"{_JOBS}/run-now"): (Workspace.run_now, JobsAPI.run_now, RunNowResponse),
    ("POST", f"{_JOBS}/runs/submit"): (Workspace.submit, JobsAPI.submit, SubmitRunResponse),
    ("GET", f"{_JOBS}/runs/get"): (Workspace.get_run, JobsAPI.get_run, Run),
    ("GET", f"{_JOBS}/runs/list"): (Workspace.list_runs, JobsAPI.list_runs, ListRunsResponse),
    ("POST", f"{_JOBS}/runs/cancel"): (Workspace.cancel_run, JobsAPI.cancel_run, None),
    ("GET", f"{_JOBS}/runs/get-output"): (Workspace.get_run_output, JobsAPI.get_run_output, RunOutput),
    ("POST", f"{_SECRETS}/scopes/create"): (Workspace.create_scope, SecretsAPI.create_scope, None),
    ("GET", f"{_SECRETS}/scopes/list"): (Workspace.list_scopes, SecretsAPI.list_scopes, ListScopesResponse),
    ("GET", f"{_SECRETS}/list"): (Workspace.list_secrets, SecretsAPI.list_secrets, ListSecretsResponse),
    ("POST", f"{_POLICIES}/create"): (Workspace.create_policy, ClusterPoliciesAPI.create, None),
    ("POST", f"{_POLICIES}/edit"): (Workspace.edit_policy, ClusterPoliciesAPI.edit, None),
    ("GET", f"{_POLICIES}/list"): (Workspace.list_policies, ClusterPoliciesAPI.list, ListPoliciesResponse),
}
