#!/usr/bin/env bash
# Delete a stage.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: [STAGE=dev] [YES=1] scripts/destroy.sh
  Shows what belongs to the stage, asks (not with YES=1), deletes it all and waits until it is gone. The image
  repository goes with the last stage that uses it.
TEXT
}

# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/repository.sh
. scripts/repository.sh
# shellcheck source=/dev/null
. scripts/stage.sh
options "$@"
check_aws

list=$(list_stage)
arn=$(repository_arn)
if [ -z "$arn" ]; then
  repository=''
elif [ -z "$(other_stages "$arn")" ]; then
  repository="$project, with all images"
else
  repository="$project, only this stage's entry"
fi
if [ -z "$list$repository" ]; then
  say "There is nothing of the stage $STAGE"
  exit
fi

say 'This will be deleted:'
if [ -n "$list" ]; then say "${list//$'\t'/  }"; fi
if [ -n "$repository" ]; then say "repository  $repository"; fi
confirm "Delete the stage $STAGE?"

delete_stage
leave_repository
say "The stage $STAGE is gone"
