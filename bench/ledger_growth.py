"""Whether an update of the ledger costs what is new, not what there is: `python -m` this module, on a fresh stack."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from millrace.environment import load_environment
from millrace.home import Home
from millrace.lake.ledger import update_ledger
from millrace.stack.lifecycle import down, up
from tests.plugins.lake.archived_topic import ArchivedTopic

COMMITS, RECORDS, REPEATS = (20, 200, 1000), 50, 7


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        try:
            up(home, airflow=False)
            measure(ArchivedTopic(load_environment("local", home=home)))
        finally:
            down(home)


def measure(archive: ArchivedTopic) -> None:
    """Prints medians, and how the largest archive's compare with the smallest's."""
    environment, name = archive.environment, archive.topic.name
    done, updates = 0, []
    for commits in COMMITS:
        for _ in range(commits - done):
            add(archive)
        done = commits
        update_ledger(environment, name)
        updates.append(median_s(lambda: update_ledger(environment, name), lambda: add(archive)))
        done += REPEATS
        print(f"{commits:,} commits: update after one more {updates[-1]:.3f} s", flush=True)
    print(f"{COMMITS[-1]:,} commits to {COMMITS[0]}: {updates[-1] / updates[0]:.2f}")


def add(archive: ArchivedTopic) -> None:
    """One more micro-batch, of records that Kafka has too."""
    archive.produce(RECORDS)
    archive.archive(archive.archived[0] + RECORDS, 0)


def median_s(timed: Callable[[], object], before: Callable[[], object]) -> float:
    """Of `timed`, with `before` each time."""
    found = []
    for _ in range(REPEATS):
        before()
        began = time.monotonic()
        timed()
        found.append(time.monotonic() - began)
    return statistics.median(found)


if __name__ == "__main__":
    main()
