#!/usr/bin/env bash
# Deploy a stage with AWS SAM.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: [STAGE=dev] scripts/deploy.sh
  Builds the image once, pushes it unless it is there already, deploys template.yaml with it as the stack
  <project>-STAGE and publishes a version of each function. Sends these their sample events, points `live` to them if
  all answer, and prints what is deployed.
  AWS_PROFILE and AWS_REGION are honoured; scripts/stages.sh has the settings of the stages.
TEXT
}

# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/live.sh
. scripts/live.sh
# shellcheck source=/dev/null
. scripts/stage.sh
options "$@"
need sam 'install the AWS SAM CLI: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/install-sam-cli.html'
check_aws
own_parameters=()
# shellcheck source=scripts/stages.sh
. scripts/stages.sh
trap 'die "interrupted; run it again, and it completes what is missing"' INT TERM

image=$(scripts/build.sh)
uri=$(scripts/push.sh "$image")
settle_stack
remember_live

# shellcheck disable=SC2154
say "Deploying the stack $stack"
sam deploy --template-file template.yaml --stack-name "$stack" --region "$AWS_REGION" \
  --image-repository "${uri%@*}" --capabilities CAPABILITY_IAM --on-failure ROLLBACK \
  --no-confirm-changeset --no-fail-on-empty-changeset --no-progressbar \
  --tags "${tags[@]}" "stage=$STAGE" --parameter-overrides \
  "Stage=$STAGE" "ImageUri=$uri" "LogLevel=$LOG_LEVEL" "AlarmTopicArn=\"$ALARM_TOPIC_ARN\"" \
  "PermissionsBoundaryArn=\"$PERMISSIONS_BOUNDARY_ARN\"" ${own_parameters[@]+"${own_parameters[@]}"} >&2 \
  || die "the stack $stack was not deployed, see above; mend the cause and deploy again"

go_live
print_outputs "$uri"
