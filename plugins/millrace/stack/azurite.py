"""Azurite, the emulator of Azure Storage: its blob service, on loopback, with a generated account key."""

from __future__ import annotations

import base64
import http.client
import secrets
from datetime import timedelta
from pathlib import Path

from jobs.errors import MillraceError
from millrace.home import Home
from millrace.stack import process
from millrace.stack.node import fetch_azurite, node_binary
from millrace.stack.private_file import read_or_create
from millrace.stack.settings import LOOPBACK, load_settings, ports_for

__all__ = ["ACCOUNT", "AZURITE", "account_key_file", "blob_endpoint", "prepare_azurite", "start_azurite"]

AZURITE = "azurite"
ACCOUNT = "devstoreaccount1"  # the one account name that Hadoop's ABFS resolves against an emulator


def blob_endpoint(home: Home) -> str:
    """The account's blob endpoint; raises MillraceError before Azurite's first start."""
    settings = load_settings(home, AZURITE)
    if "port" not in settings:
        raise MillraceError(f"Azurite: {home.stack_file} names no port, so it was never started; run `millrace up`")
    return f"http://{LOOPBACK}:{settings['port']}/{ACCOUNT}"


def account_key_file(home: Home) -> Path:
    """The file (0600) with the generated account key, base64."""
    return home.secrets / "azurite.key"


def prepare_azurite(home: Home) -> None:
    """Choose the port and make the account key, so that others can be told; nothing happens where it is running."""
    if not process.is_running(home, AZURITE):
        ports_for(home, AZURITE, ("port",))
        _account_key(home)


def start_azurite(home: Home) -> bool:
    """Start Azurite and wait until it answers; False where it was running already."""
    if process.is_running(home, AZURITE):
        return False
    script = fetch_azurite(home)
    key = _account_key(home)
    port = ports_for(home, AZURITE, ("port",))["port"]
    home.azurite.mkdir(parents=True, exist_ok=True)
    command = [str(node_binary()), str(script), "--blobHost", LOOPBACK, "--blobPort", str(port)]
    command += ["--location", str(home.azurite), "--skipApiVersionCheck", "--silent", "--disableTelemetry"]
    record = process.start(
        home,
        AZURITE,
        command,
        env={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"},  # not an argument: those are readable by everyone
        cwd=home.azurite,
        endpoint=blob_endpoint(home),
    )
    process.await_ready(home, [record], lambda: _answers(port), timeout=timedelta(seconds=60))
    return True


def _account_key(home: Home) -> str:
    return read_or_create(account_key_file(home), lambda: base64.b64encode(secrets.token_bytes(64)).decode())


def _answers(port: int) -> bool:
    """Whether the blob service speaks HTTP; it refuses a request without credentials, which is an answer."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", f"/{ACCOUNT}?comp=list")
        return connection.getresponse().status > 0
    except OSError:
        return False
    finally:
        connection.close()
