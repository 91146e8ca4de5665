"""The signals of the fault suite prove themselves."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import psutil
import pytest

from tests.faults.signals import stopped

SLEEPS = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def victim() -> Iterator[psutil.Process]:
    process = subprocess.Popen([sys.executable, "-S", "-c", SLEEPS], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def test_a_process_is_in_state_t_while_it_is_stopped_and_not_after(victim: psutil.Process) -> None:
    with stopped([victim]):
        assert victim.status() == psutil.STATUS_STOPPED
    assert victim.status() != psutil.STATUS_STOPPED


class Stuck(psutil.Process):
    """Nobody can wake it up."""

    def send_signal(self, sig: int) -> None:
        if sig != signal.SIGCONT:
            super().send_signal(sig)


def test_one_that_does_not_go_on_is_told(victim: psutil.Process) -> None:
    with pytest.raises(AssertionError, match="to go on"), stopped([Stuck(victim.pid)], timedelta(seconds=1)):
        pass


def test_nobody_cannot_be_stopped() -> None:
    with pytest.raises(AssertionError, match="nobody"), stopped([]):
        pass
