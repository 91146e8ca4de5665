"""Run one command, and write down how it ended: a program of its own, so that it outlives whoever submitted the job.

Called as `python -I -S local_watcher.py FOLDER LOCK_DESCRIPTOR COMMAND...`; standard library only, to stay small.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from types import FrameType


def main(folder: str, lock: int, command: list[str]) -> None:
    """Run `command` in a process group of its own, with the lock; its exit code goes to `FOLDER/exit.json`."""
    _write(folder, "process.json", {"watcher": os.getpid()})
    try:
        with open(os.path.join(folder, "driver.log"), "ab") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(lock,), process_group=0
            )
    except OSError as error:
        print(f"cannot start {command[0]}: {error}", file=sys.stderr)
        _end(folder, 127)
        return
    signal.signal(signal.SIGTERM, lambda number, frame: _forward(child, number, frame))
    _write(folder, "process.json", {"watcher": os.getpid(), "driver": child.pid})
    code = child.wait()
    _kill_group(child.pid)  # a Python driver may linger a moment after its JVM
    _end(folder, code if code >= 0 else 128 - code)


def _forward(child: subprocess.Popen[bytes], number: int, _frame: FrameType | None) -> None:
    if child.poll() is None:
        os.killpg(child.pid, number)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError):  # nobody lingers
        os.killpg(group, signal.SIGKILL)


def _end(folder: str, code: int) -> None:
    properties = os.path.join(folder, "spark.properties")
    if os.path.exists(properties):
        os.unlink(properties)
    shutil.rmtree(os.path.join(folder, "tmp"), ignore_errors=True)
    _write(folder, "exit.json", {"code": code, "ended_at": datetime.now(UTC).isoformat()})


def _write(folder: str, name: str, content: dict[str, object]) -> None:
    path = os.path.join(folder, name)
    with open(path + ".draft", "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(path + ".draft", path)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
