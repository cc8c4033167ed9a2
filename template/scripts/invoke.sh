#!/usr/bin/env bash
# Send an event to a deployed function.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: [STAGE=dev] [HANDLER=name] [EVENT=file] scripts/invoke.sh
  Invokes the alias `live` of the function HANDLER (the first one by default) with the event in the file EVENT
  (events/<handler>.json by default). Prints the answer on standard output and the end of the log on standard
  error; exit status 1 if the function failed.
TEXT
}

# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/live.sh
. scripts/live.sh
options "$@"

name=$(chosen_function)
function=$(function_name "$name")
event=${EVENT:-events/${name//-/_}.json}
[ -f "$event" ] || die "there is no event file '$event'; set EVENT to a JSON file"
check_aws
[ -n "$(live_version "$function")" ] \
  || die "$function is not deployed in $AWS_REGION; run make deploy, or set STAGE or AWS_REGION"

say "Invoking $function:live with $event"
status=0
invoke_function "$function" live "$event" || status=1
if [ -s "$work/log" ]; then cat "$work/log" >&2; fi
if [ -s "$work/answer" ]; then
  cat "$work/answer"
  echo
fi
[ $status = 0 ] || die "$function failed; the error and the end of its log are above"
