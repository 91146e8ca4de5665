#!/usr/bin/env bash
# Script action for all nodes of an HDInsight Spark cluster: installs Python packages from the cluster's own storage,
# without a package index and only what the lock file names by hash. Runs any number of times.
#
#   install_packages.sh abfs://spark@<account>.dfs.core.windows.net/packages/<content hash>.tar.gz
#
# The archive holds requirements.txt (with hashes) and wheels/. PYTHON and FETCH replace Python and the copying command.
set -euo pipefail

archive="${1:?which archive? say its URI}"
python="${PYTHON:-/usr/bin/miniforge/envs/py38/bin/python}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

if [ -n "${FETCH:-}" ]; then "$FETCH" "$archive" "$work/packages.tar.gz"; else hdfs dfs -get "$archive" "$work/packages.tar.gz"; fi
tar --extract --gzip --no-same-owner --file "$work/packages.tar.gz" --directory "$work"
"$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --require-hashes \
  --find-links "$work/wheels" --requirement "$work/requirements.txt"
"$python" -m pip check
