"""What `teardown` deletes on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.home import Home
from millrace.tasks.local_stack import delete_data


def test_other_environments_keep_what_they_know_of_their_replication(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path))
    monkeypatch.delenv("MILLRACE_ENVIRONMENT", raising=False)
    for folder in (home.replication / "local" / "notes", home.replication / "hdinsight" / "notes", home.kafka):
        folder.mkdir(parents=True)
    delete_data()
    assert sorted(path.name for path in home.replication.iterdir()) == ["hdinsight"]
    assert not home.kafka.exists()
    delete_data()
