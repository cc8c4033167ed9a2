# shellcheck shell=bash
# What the scripts share: names, checks and messages. Sourced, never run.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
# shellcheck source=scripts/project.sh
. scripts/project.sh

say() { printf '%s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# options ARGUMENT...: print the usage text where it is asked for, and refuse all other arguments.
options() {
  case "$# ${1:-}" in
    '0 ') ;;
    *' -h' | *' --help')
      usage
      exit
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
}

# need TOOL HINT: TOOL must be installed.
need() { command -v "$1" >/dev/null || die "'$1' is not installed; $2"; }

STAGE=${STAGE:-dev}
[[ $STAGE =~ ^[a-z][a-z0-9]{0,9}$ ]] \
  || die "'$STAGE' cannot be a stage; use up to 10 lower-case letters and digits, as in STAGE=dev"

# Tools differ in which of the two they read.
export AWS_REGION=${AWS_REGION:-$default_region}
export AWS_DEFAULT_REGION=$AWS_REGION AWS_PAGER=''
[[ $AWS_REGION =~ ^[a-z]{2,4}(-[a-z]+)+-[1-9][0-9]?$ ]] \
  || die "'$AWS_REGION' cannot be an AWS region; set AWS_REGION to one such as $default_region"
if [ -z "${AWS_PROFILE:-}" ]; then unset AWS_PROFILE; fi

# check_aws: the AWS CLI must be there, and AWS must take its credentials. Sets $partition and $account.
check_aws() {
  local answer
  need aws 'install the AWS CLI, version 2: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html'
  if answer=$(aws sts get-caller-identity --query Arn --output text 2>"$work/error"); then
    say "Stage $STAGE in $AWS_REGION, as $answer"
    IFS=: read -r _ partition _ _ account _ <<<"$answer"
    return
  fi
  answer=$(tr '\n' ' ' <"$work/error")
  case $answer in
    *'connect to the endpoint'* | *'resolve'*)
      die "AWS does not answer in the region '$AWS_REGION'; check AWS_REGION and the network"
      ;;
    *'profile'*'could not be found'*)
      die "there is no AWS profile '$AWS_PROFILE'; set AWS_PROFILE to one that 'aws configure list-profiles' shows"
      ;;
    *) die "AWS takes no credentials from here ($answer); run 'aws sso login' or 'aws configure', or set AWS_PROFILE" ;;
  esac
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# answer COMMAND...: print what an AWS CLI command prints, or nothing where the thing is not there.
answer() {
  local text
  if ! text=$("$@" 2>"$work/error"); then
    if grep -Eq 'NotFound|NoSuchEntity|does not exist' "$work/error"; then return; fi
    die "$(tr '\n' ' ' <"$work/error")"
  fi
  printf '%s\n' "$text"
}

# gone COMMAND...: delete something; it may be gone already.
gone() { answer "$@" >/dev/null; }

# value COMMAND...: print the one value that an AWS CLI command with --query asks for, or nothing where the thing is
# not there. JSON, as text output would be one answer for each page.
value() {
  local text
  text=$(answer "$@" --output json) || exit
  text=${text//\"/}
  if [ "$text" != null ]; then printf '%s\n' "$text"; fi
}

# tag_map TAG... and tag_list TAG...: print NAME=VALUE tags in the two forms of JSON that AWS takes. Neither names nor
# values hold anything that JSON would have escaped.
tag_map() {
  local tag text=''
  for tag in "$@"; do text+=", \"${tag%%=*}\": \"${tag#*=}\""; done
  printf '{%s}\n' "${text#, }"
}

tag_list() {
  local tag text=''
  for tag in "$@"; do text+=", {\"Key\": \"${tag%%=*}\", \"Value\": \"${tag#*=}\"}"; done
  printf '[%s]\n' "${text#, }"
}

# function_name NAME: what the function is called in this stage.
function_name() { printf '%s\n' "$project-$STAGE-$1"; }

# function_arn FUNCTION
function_arn() { printf '%s\n' "arn:$partition:lambda:$AWS_REGION:$account:function:$1"; }

# log_group_arn FUNCTION: print the ARN of its log group, which covers the streams.
log_group_arn() { printf '%s\n' "arn:$partition:logs:$AWS_REGION:$account:log-group:/aws/lambda/$1:*"; }

# chosen_function: the name that HANDLER gives, as module or with hyphens; the first one where it is not set.
chosen_function() {
  local name=${HANDLER:-${functions[0]}}
  name=${name//_/-}
  [[ " ${functions[*]} " == *" $name "* ]] || die "there is no handler '$name'; set HANDLER to one of: ${functions[*]}"
  printf '%s\n' "$name"
}

# confirm QUESTION: go on only if the user says yes, or said YES=1 before.
confirm() {
  local answer=''
  if [ "${YES:-}" = 1 ]; then return; fi
  [ -t 0 ] || die 'nobody is there to ask; set YES=1 to go on without a question'
  read -r -p "$1 [y/N] " answer
  [[ $answer == [yY]* ]] || die 'nothing was changed'
}
