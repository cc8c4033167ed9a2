#!/usr/bin/env bash
# Go back to the version before.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: [STAGE=dev] scripts/rollback.sh
  Points the alias `live` of each function to the version before the one that it points to, after that version has
  answered the function's sample event; versions that fail are passed over. Says which versions. The next
  deployment points `live` to what it deploys.
TEXT
}

# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/live.sh
. scripts/live.sh
options "$@"
check_aws

# target NAME LIVE: print the newest version before LIVE that passes, or nothing.
target() {
  local version
  for version in $(published_versions "$(function_name "$1")"); do
    if [ "$version" -lt "$2" ] && passes "$1" "$version"; then
      echo "$version"
      return
    fi
  done
}

# All are looked up before the first one moves.
targets=()
possible=no
for name in "${functions[@]}"; do
  live=$(live_version "$(function_name "$name")")
  [ -n "$live" ] || die "$(function_name "$name") is not deployed in $AWS_REGION; set STAGE or AWS_REGION"
  version=$(target "$name" "$live")
  targets+=("${version:-none}")
  if [ -n "$version" ]; then possible=yes; fi
done
[ $possible = yes ] || die "there is no version before the one that is live in the stage $STAGE; deploy the code that you want instead"

for i in "${!functions[@]}"; do
  if [ "${targets[i]}" = none ]; then
    say "$(function_name "${functions[i]}") has no version before: it stays"
  else
    move_live "$(function_name "${functions[i]}")" "${targets[i]}"
  fi
done
