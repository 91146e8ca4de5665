"""Logins and passwords: from Airflow's connections, or from private files where there is no Airflow. Nowhere else."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from jobs.errors import MillraceError
from millrace.home import Home

__all__ = ["Login", "check_private", "login_of", "masked"]


@dataclass(frozen=True)
class Login:
    """Who one is, and the proof; the password is in no `repr`."""

    login: str
    password: str = field(repr=False)


def login_of(connection: str, home: Home | None = None) -> Login:
    """The login and password of an Airflow connection (its id), which may lie in a vault that Airflow reads.

    For commands outside Airflow: of `<home>/secrets/connections/<id>.json`, `{"login": …, "password": …}`, mode 0600,
    which goes first where it exists. Raises MillraceError where there is neither, or others may read the file.
    """
    path = (home or Home.current()).secrets / "connections" / f"{connection}.json"
    return _from_file(path) if path.exists() else _from_airflow(connection, path)


def masked(secret: str) -> str:
    """The secret, which Airflow writes as *** from now on, wherever it logs or shows it.

    For secrets that Airflow does not know of: it masks the passwords of its connections itself. Outside Airflow nothing
    happens.
    """
    if secret and "airflow.sdk" in sys.modules:
        _mask(secret)
    return secret


@lru_cache(maxsize=256)
def _mask(secret: str) -> None:
    """Once in a process: a task tells it to the process that writes its log."""
    from airflow.sdk.log import mask_secret

    mask_secret(secret)


def check_private(path: Path) -> None:
    """Raises MillraceError for a file that others may read or write."""
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise MillraceError(f"{path}: its mode is {mode:o}; secrets are for you alone: chmod 600")


def _from_file(path: Path) -> Login:
    check_private(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Login(str(content["login"]), masked(str(content["password"])))
    except (ValueError, KeyError, TypeError):
        raise MillraceError(f'{path}: it is not {{"login": …, "password": …}}; write it so') from None


def _from_airflow(connection: str, path: Path) -> Login:
    from airflow.sdk import Connection  # here: what needs no secret does not load Airflow
    from airflow.sdk.exceptions import AirflowException

    try:
        found = Connection.get(connection)
    except AirflowException as error:
        raise MillraceError(
            f"connection {connection!r}: Airflow has none of that id ({error}); create it in Admin > Connections,"
            f" or, for commands outside Airflow, write {path} (mode 600)"
        ) from error
    if not found.login or not found.password:
        raise MillraceError(f"connection {connection!r}: its login or its password is empty; set both")
    return Login(found.login, found.password)
