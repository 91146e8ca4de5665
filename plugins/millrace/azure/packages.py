"""Python packages for the nodes of HDInsight's Spark clusters, by a script action.

https://learn.microsoft.com/azure/hdinsight/hdinsight-hadoop-customize-cluster-linux
"""

from __future__ import annotations

import tarfile
from hashlib import sha256
from pathlib import Path

from jobs.errors import UsageError
from millrace.azure.arm.compose import TEMPLATES
from millrace.platforms.hdinsight_store import JobStore

__all__ = ["packages_action"]

_SCRIPT = TEMPLATES / "scripts" / "install_packages.sh"
_REQUIREMENTS, _WHEELS = "requirements.txt", "wheels/"
# Of HDInsight 5.1, whose Python is 3.8; with the stable ABI also those of older ones.
_INTERPRETERS = frozenset({"py3", "cp38"})
_PARTS = (5, 6)  # of a wheel's name: the sixth is a build number
_STABLE = frozenset({"cp36", "cp37", "cp38"})


def packages_action(archive: Path, store: JobStore) -> dict[str, str]:
    """Uploads the archive and the script that installs it, each under the hash of its content, and returns the script
    action, an element of main.json's `sparkScriptActions`: `{"name", "uri", "parameters"}`.

    The archive is a .tar.gz of `requirements.txt`, each line with its hashes, and `wheels/`. Raises UsageError for one
    that the script would refuse: on a cluster, that is a quarter of an hour later.
    """
    _check(archive)
    content, script = archive.read_bytes(), _SCRIPT.read_bytes()
    digest = sha256(content).hexdigest()[:16]
    packages = store.keep(f"packages/{digest}.tar.gz", content)
    uri = store.keep(f"packages/install-{sha256(script).hexdigest()[:16]}.sh", script)
    return {"name": f"packages-{digest}", "uri": uri, "parameters": packages}


def _check(archive: Path) -> None:
    try:
        with tarfile.open(archive, "r:gz") as opened:
            names = [name.removeprefix("./") for name in opened.getnames()]
            lines = _lines(opened, names)
    except UnicodeDecodeError as error:
        raise UsageError(f"{archive}: {_REQUIREMENTS} is not UTF-8: {error}; save it as that") from error
    except (OSError, tarfile.TarError) as error:
        raise UsageError(f"{archive}: no .tar.gz that can be read: {error}") from error
    if bare := [line for line in lines if "--hash=" not in line and not line.startswith("-")]:
        raise UsageError(
            f"{archive}: {_REQUIREMENTS} has {bare[0]!r} without a hash; write it with hashes (uv pip compile"
            " --generate-hashes --python-version 3.8)"
        )
    wheels = [name.removeprefix(_WHEELS) for name in names if name.startswith(_WHEELS) and name.endswith(".whl")]
    if not lines or not wheels:
        raise UsageError(
            f"{archive}: has {', '.join(names[:5]) or 'nothing'}; it needs {_REQUIREMENTS} and {_WHEELS}*.whl"
        )
    if foreign := [wheel for wheel in wheels if not _is_for_the_nodes(wheel)]:
        raise UsageError(
            f"{archive}: {foreign[0]} is for another Python, or not named as a wheel is; the nodes have 3.8:"
            " pip download --only-binary=:all: --python-version 3.8 --platform manylinux2014_x86_64"
        )


def _lines(opened: tarfile.TarFile, names: list[str]) -> list[str]:
    """The requirements, continued lines joined, without comments."""
    if _REQUIREMENTS not in names:
        return []
    file = opened.extractfile(opened.getmembers()[names.index(_REQUIREMENTS)])
    text = file.read().decode().replace("\\\n", " ") if file else ""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def _is_for_the_nodes(wheel: str) -> bool:
    """By its name: https://packaging.python.org/en/latest/specifications/binary-distribution-format/"""
    parts = wheel.removesuffix(".whl").split("-")
    if len(parts) not in _PARTS:
        return False
    interpreters, abi, platforms = parts[-3:]
    known = _STABLE if abi == "abi3" else _INTERPRETERS
    is_linux = "linux" in platforms and "x86_64" in platforms
    return bool(known & set(interpreters.split("."))) and (platforms == "any" or is_linux)
