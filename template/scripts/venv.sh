#!/usr/bin/env bash
# Make or refresh the virtual environment that `make` works in.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/venv.sh DIRECTORY PYTHON_VERSION REQUIREMENTS
  Makes a virtual environment in DIRECTORY and installs the hash-pinned REQUIREMENTS file.
  Takes PYTHON_VERSION (such as 3.14) where it is installed, or where uv can fetch it, and else
  the newest Python from 3.11 on that is found, and says so.
TEXT
}

if [ $# -ne 3 ]; then
  usage >&2
  exit 2
fi
directory=$1 version=$2 requirements=$3

# works PYTHON: it runs (a pyenv shim may not), is 3.11 or newer, and can make environments.
works() {
  "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  local minor
  if works "python$version"; then
    echo "python$version"
    return
  fi
  if command -v uv >/dev/null && uv python find --quiet "$version" 2>/dev/null; then return; fi
  if command -v uv >/dev/null && uv python install --quiet "$version" 2>/dev/null; then
    uv python find --quiet "$version"
    return
  fi
  for minor in 19 18 17 16 15 14 13 12 11; do
    if works "python3.$minor"; then
      echo "NOTE: Python $version was not found; taking python3.$minor. Install $version, or uv, which fetches it." >&2
      echo "python3.$minor"
      return
    fi
  done
  if works python3; then
    echo "NOTE: Python $version was not found; taking $(python3 --version). Install $version, or uv, which fetches it." >&2
    echo python3
    return
  fi
  echo "error: no Python from 3.11 on with venv and ensurepip was found; install Python $version" >&2
  return 1
}

minor_version() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# uv takes seconds where pip takes half a minute; but pip's settings may know a package index that uv's do not.
with_uv() {
  command -v uv >/dev/null || return
  if [ "$(minor_version "$directory/bin/python")" != "$(minor_version "$python")" ]; then
    uv venv --quiet --clear --python "$(command -v "$python")" "$directory" || return
  fi
  uv pip sync --quiet --require-hashes --allow-empty-requirements --python "$directory/bin/python" "$requirements"
}

with_pip() {
  if [ "$(minor_version "$directory/bin/python")" != "$(minor_version "$python")" ] \
    || ! "$directory/bin/python" -m pip --version >/dev/null 2>&1; then
    "$python" -m venv --clear "$directory"
  fi
  "$directory/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    --requirement "$requirements"
}

python=$(find_python)
echo "Installing $requirements into $directory" >&2
with_uv || with_pip
