"""Secrets that Airflow does not know of are masked in its logs, once they have been read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from millrace.home import PROJECT_ROOT

PASSWORD, KEY, PEM = 'pass"word-of-a-file', "a2V5LW9mLXRoZS1sYWtl", "-----BEGIN PRIVATE KEY-----\nbm8ga2V5\n-----END"
TASK = """
import logging, sys
from pathlib import Path
from airflow.sdk.log import configure_logging

configure_logging(output=sys.stdout.buffer)
from millrace.credentials import login_of
from millrace.kafka_settings import java_options, with_login
from millrace.storage_account import StorageAccount

folder = Path(sys.argv[1])
login = login_of("kafka")
options = {"ssl.key.location": str(folder / "key.pem"), "ssl.certificate.location": str(folder / "chain.pem")}
found = java_options(with_login(options, login))
key = StorageAccount("a", "lake", "http://127.0.0.1:1", folder / "lake.key").account_key()
log = logging.getLogger("airflow.task")
log.error("password: %s; jaas: %s; key: %s", login.password, found["sasl.jaas.config"], key)
log.error("pem: %s", found["ssl.keystore.key"])
"""


def test_secrets_from_private_files_are_masked_in_what_airflow_logs(tmp_path: Path) -> None:
    connections = tmp_path / "home" / "secrets" / "connections"
    connections.mkdir(parents=True)
    (connections / "kafka.json").write_text(json.dumps({"login": "somebody", "password": PASSWORD}))
    (connections / "kafka.json").chmod(0o600)
    for name, text in (("lake.key", f"{KEY}\n"), ("key.pem", PEM), ("chain.pem", "CHAIN")):
        (tmp_path / name).write_text(text)
    own = {"MILLRACE_HOME": str(tmp_path / "home"), "AIRFLOW_HOME": str(tmp_path / "airflow")}
    own["PYTHONPATH"] = os.pathsep.join([str(PROJECT_ROOT), str(PROJECT_ROOT / "plugins")])
    command = [sys.executable, "-c", TASK, str(tmp_path)]
    log = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=True).stdout
    assert "password: ***; jaas: org.apache.kafka" in log
    assert "; key: ***" in log
    assert "pem: ***" in log
    for secret in (PASSWORD, PASSWORD.replace('"', '\\"'), KEY, "bm8ga2V5"):
        assert secret not in log
