"""A worker and a triggerer that can be killed: `python -m tests.plugins.azure.deploy.killable` deploys case A, in a
process of its own, as Airflow would: the task until it defers, then its trigger."""

from __future__ import annotations

from airflow.sdk.exceptions import TaskDeferred

from tests.plugins.azure.deploy.tries import deploying, waited

if __name__ == "__main__":
    try:
        deploying().execute({})
    except TaskDeferred as deferred:
        waited(deferred.trigger)
