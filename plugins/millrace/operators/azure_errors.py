"""Errors of Azure as Airflow's: what is worth another try, and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from jobs.errors import MillraceError

__all__ = ["as_airflow_errors"]


@contextmanager
def as_airflow_errors() -> Iterator[None]:
    """What Azure may do at the next try stays a failure that is tried again; what it refuses is not."""
    from millrace.azure.asking import PassingError

    try:
        yield
    except PassingError as error:
        raise AirflowException(str(error)) from error
    except MillraceError as error:
        raise AirflowFailException(str(error)) from error
