"""Run MirrorMaker until it ends, fails in part, or is asked to stop: a program of its own, beside its JVM.

Called as `python -I -S mirror_driver.py STOP_FILE OWNER SECRETS COMMAND...`; standard library only, to stay small. A
task that fails leaves MirrorMaker running without it, and a login that is refused is tried again for ever: here that
ends the whole, so that its supervisor hears of it.

Exit codes: 0 stopped on request; 1 it failed; 128 and more: a signal ended it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

_POLL_S = 0.5
_GRACE_S = 30.0
_FAILED = (
    "will not recover until manually restarted",
    "Task failed initialization and will not be started",
    "Failed to start task",
    "Failed to start connector",
    "Error while starting connector",
    "Error initializing connector",
    "Connector has failed",
    "Failed to configure",
    "Uncaught exception in herder work thread",
    "failed authentication due to",
    "AuthorizationException",
)


class Mirror:
    """The JVM of `command`, which ends as soon as it `fails` or is `asked` to."""

    def __init__(self, command: list[str]) -> None:
        # Descriptors are inherited: the job's lock is held by the JVM too, for as long as it lives.
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, close_fds=False
        )
        self.asked = False
        self.failed = False
        self.ended = threading.Event()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that does not end it in time."""
        self.child.terminate()
        killer = threading.Timer(_GRACE_S, self.child.kill)
        killer.daemon = True
        killer.start()

    def follow(self) -> int:
        """Copies its log, and returns its exit code."""
        for line in self.child.stdout or ():
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            text = line.decode(errors="replace").strip()
            if not self.failed and not self.asked and any(told in text for told in _FAILED):
                self.failed = True
                print(f"millrace: a part of MirrorMaker failed, and the rest is ended: {text}", flush=True)
                self.stop()
        code = self.child.wait()
        self.ended.set()
        return code

    def obey(self, stop_file: str, owner: str) -> None:
        """Stops it as soon as the file asks this owner, or everybody, to."""
        while not self.ended.wait(_POLL_S):
            if _asks(stop_file, owner):
                self.asked = True
                print("stopped on request", flush=True)
                self.stop()
                return


def main(stop_file: str, owner: str, secrets: str, command: list[str]) -> int:
    """Runs the command; the file with secrets is gone when it has ended."""
    mirror = Mirror(command)
    signal.signal(signal.SIGTERM, lambda number, frame: mirror.stop())
    threading.Thread(target=mirror.obey, args=(stop_file, owner), daemon=True).start()
    code = mirror.follow()
    if os.path.exists(secrets):
        os.unlink(secrets)
    if mirror.asked:
        return 0
    if mirror.failed:
        return 1
    return 128 - code if code < 0 else min(code, 1) if code < 128 else code


def _asks(stop_file: str, owner: str) -> bool:
    try:
        with open(stop_file, encoding="utf-8") as file:
            return json.load(file).get("owner") in ("*", owner)
    except (FileNotFoundError, ValueError):
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
