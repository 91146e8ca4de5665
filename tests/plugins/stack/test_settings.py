"""Ports are chosen once and kept, and what is secret is private."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

from millrace.home import Home
from millrace.stack.private_file import read_or_create, write_private
from millrace.stack.settings import LOOPBACK, load_settings, ports_for, save_settings


def test_ports_differ_and_stay(home: Home) -> None:
    ports = ports_for(home, "kafka", ("port", "controller_port"))
    assert len(set(ports.values())) == 2
    assert ports_for(home, "kafka", ("port", "controller_port")) == ports == load_settings(home, "kafka")


def test_a_taken_port_is_replaced_and_the_other_kept(home: Home) -> None:
    before = ports_for(home, "kafka", ("port", "controller_port"))
    with closing(socket.socket()) as other:
        other.bind((LOOPBACK, before["port"]))
        other.listen()
        after = ports_for(home, "kafka", ("port", "controller_port"))
    assert after["port"] != before["port"]
    assert after["controller_port"] == before["controller_port"]
    assert load_settings(home, "kafka") == after


def test_parts_do_not_overwrite_each_other(home: Home) -> None:
    save_settings(home, "kafka", cluster_id="a")
    save_settings(home, "azurite", port=1)
    save_settings(home, "kafka", port=2)
    assert load_settings(home, "kafka") == {"cluster_id": "a", "port": 2}
    assert load_settings(home, "azurite") == {"port": 1}


def test_the_settings_and_secrets_are_private(home: Home) -> None:
    save_settings(home, "kafka", cluster_id="a")
    secret = home.secrets / "key"
    assert read_or_create(secret, lambda: "first") == read_or_create(secret, lambda: "second") == "first"
    assert {path.stat().st_mode & 0o777 for path in (home.stack_file, secret)} == {0o600}
    assert home.secrets.stat().st_mode & 0o777 == 0o700


def test_the_first_secrets_of_parts_that_start_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Kafka, Azurite and Airflow start side by side, and none has made the folder yet."""
    together = Barrier(8)

    def write(folder: Path, part: int) -> None:
        together.wait()
        write_private(folder / f"{part}.key", "secret")

    with ThreadPoolExecutor(together.parties) as parts:
        for attempt in range(30):
            folder = tmp_path / str(attempt)
            list(parts.map(write, [folder] * together.parties, range(together.parties)))
            assert len(list(folder.iterdir())) == together.parties
