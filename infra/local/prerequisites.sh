#!/bin/sh
# Says what `make setup` needs and this machine lacks. Usage: prerequisites.sh <python>
set -eu

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

python=$1
why="Airflow's Azure provider needs 3.11 or newer, and requirements.txt is made for versions up to 3.13"
how="Install Python 3.11 to 3.13 (Debian, Ubuntu: apt install python3.11 python3.11-venv; macOS: brew install python@3.11)
  or name one: make setup PYTHON=/path/to/python3.11"
[ -n "$python" ] || fail "Python: no Python 3.11, 3.12 or 3.13 is on the PATH; $why.
  $how"
version=$("$python" --version 2>&1) || fail "Python: '$python' does not run.
  $how"
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' ||
    fail "Python: $python is $(printf '%s\n' "$version" | head -n 1), which is not 3.11 to 3.13; $why.
  $how"
# Debian's python3 comes without it. The Python of an environment that is made already does not need it.
minor=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import sys; sys.prefix != sys.base_prefix and sys.exit(); import ensurepip, venv' 2>/dev/null ||
    fail "Python: $python has no module ensurepip or no module venv, and .venv cannot be made without them.
  Install them (Debian, Ubuntu: apt install python$minor-venv)
  or name another Python: make setup PYTHON=/path/to/python3.11"

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
how="Install a Java 17 or 21 runtime (Debian, Ubuntu: apt install openjdk-17-jre-headless; macOS: brew install openjdk@17;
  elsewhere: a Temurin 17 build), and put it on the PATH or in JAVA_HOME."
version=$("$java" -version 2>&1) || fail "Java: '$java' does not run. $how"
major=$(printf '%s\n' "$version" | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
[ "${major:-0}" -ge 17 ] || fail "Java: '$java' is version ${major:-unknown}; Spark 4.2 needs 17 or 21. $how"
case $major in
17 | 21) ;;
*) printf 'setup: Java %s is untested here; 17 and 21 are known to work\n' "$major" >&2 ;;
esac
