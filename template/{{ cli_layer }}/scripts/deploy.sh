#!/usr/bin/env bash
# Deploy a stage with the AWS CLI.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: [STAGE=dev] scripts/deploy.sh
  Builds the image once, pushes it unless it is there already, and makes or changes each function with all that
  belongs to it. Publishes a version of each, sends these their sample events, points `live` to them if all answer,
  and prints what is deployed. Functions of handlers that are no longer there are deleted.
  AWS_PROFILE and AWS_REGION are honoured; scripts/stages.sh has the settings of the stages, and
  scripts/settings.sh those of all functions, and scripts/own.sh what the project has of its own.
TEXT
}

# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/live.sh
. scripts/live.sh
# shellcheck source=/dev/null
. scripts/settings.sh
# shellcheck source=scripts/own.sh
. scripts/own.sh
# shellcheck source=/dev/null
. scripts/resources.sh
options "$@"
check_aws
# shellcheck source=scripts/stages.sh
. scripts/stages.sh
trap 'die "interrupted; run it again, and it completes what is missing"' INT TERM

image=$(scripts/build.sh)
uri=$(scripts/push.sh "$image")

put_own_resources
for name in "${functions[@]}"; do
  function=$(function_name "$name")
  put_log_group "$function"
  put_role "$name" "$function"
  put_alarms "$function"
  put_function "$name" "$function" "$uri"
done
go_live
put_own_triggers

for function in $(stage_functions); do
  [[ " ${functions[*]} " == *" ${function#"$project-$STAGE-"} "* ]] || delete_function "$function"
done
print_outputs "$uri"
