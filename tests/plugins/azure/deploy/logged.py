"""A task whose log is written as Airflow's: `python -m tests.plugins.azure.deploy.logged` previews case A."""

from __future__ import annotations

import sys

from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.log import configure_logging

from tests.plugins.azure.deploy.tries import previewing

if __name__ == "__main__":
    configure_logging(json_output=True, output=sys.stdout.buffer)
    task = previewing()
    try:
        task.execute({})
    except AirflowFailException as error:
        task.log.error("the task failed: %s", error)
