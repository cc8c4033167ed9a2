#!/usr/bin/env bash
# Follow the log of a deployed function.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: [STAGE=dev] [HANDLER=name] [SINCE=10m] scripts/logs.sh
  Prints the log of the function HANDLER (the first one by default), beginning SINCE (10m by default: ten minutes
  ago), and follows it until Ctrl-C.
TEXT
}

# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
options "$@"

group=/aws/lambda/$(function_name "$(chosen_function)")
check_aws
[ -n "$(value aws logs describe-log-groups --log-group-name-prefix "$group" \
  --query "logGroups[?logGroupName=='$group'] | [0].logGroupName")" ] \
  || die "there is no log group $group in $AWS_REGION; run make deploy, or set STAGE or AWS_REGION"

say "Following $group; Ctrl-C ends it"
exec aws logs tail "$group" --follow --since "${SINCE:-10m}" --format short
