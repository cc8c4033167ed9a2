#!/usr/bin/env bash
# What a new user sees: `make demo` renders the default application, tests it, runs it and sends it an event.
set -euo pipefail

template=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
project=$work/my-lambda
server=

finish() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }

step "copier copy --defaults … my-lambda"
copier copy --quiet --defaults --vcs-ref HEAD "$template" "$project"
cd "$project"
find . -type f | sort | sed 's|^\./|  |'

step "make test"
make --no-print-directory test

step "make dev"
.venv/bin/python local/dev.py --port 0 &
server=$!
until [ -s .local/endpoint ]; do
  kill -0 "$server" 2>/dev/null || exit 1
  sleep 0.1
done

step "make invoke"
make --no-print-directory invoke 2>/dev/null
