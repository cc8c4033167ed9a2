# shellcheck shell=bash disable=SC2154
# The resources of one function: each is made where it is missing, and changed where it is not as it should be, so
# that a deployment can be repeated, and completes an interrupted one. Sourced, never run.

stage_tags=("${tags[@]}" "stage=$STAGE")
newline=$'\n'
# What other stages and projects made is neither changed nor deleted.
function_owner="join(',', [not_null(Tags.project, ''), not_null(Tags.stage, '')])"
role_owner="join(',', [Role.Tags[?Key=='project'].Value | [0] || '', Role.Tags[?Key=='stage'].Value | [0] || ''])"

# log_group FUNCTION: print the name of its log group and the retention, or nothing.
log_group() {
  value aws logs describe-log-groups --log-group-name-prefix "/aws/lambda/$1" \
    --query "logGroups[?logGroupName=='/aws/lambda/$1'].join(' ', [logGroupName, to_string(retentionInDays)]) | [0]"
}

# put_log_group FUNCTION
put_log_group() {
  local group=/aws/lambda/$1 actual
  actual=$(log_group "$1")
  if [ -z "$actual" ]; then
    say "Creating the log group $group"
    aws logs create-log-group --log-group-name "$group" --tags "$(tag_map "${stage_tags[@]}")"
  fi
  if [ "${actual##* }" != "$log_retention" ]; then
    aws logs put-retention-policy --log-group-name "$group" --retention-in-days "$log_retention"
  fi
}

# role_name FUNCTION: print the name of its role. Roles are global, so the region is in it; 64 characters at most.
role_name() {
  local name=$1-$AWS_REGION sum
  if [ ${#name} -gt 64 ]; then
    sum=$(cksum <<<"$name")
    name=${name:0:53}-${sum%% *}
  fi
  printf '%s\n' "$name"
}

# put_role NAME FUNCTION: sets $role_arn, and $role_is_new where there was none.
put_role() {
  local role actual owner boundary statements
  role=$(role_name "$2")
  role_is_new=''
  actual=$(value aws iam get-role --role-name "$role" \
    --query "join(' ', [$role_owner, Role.Arn, not_null(Role.PermissionsBoundary.PermissionsBoundaryArn, '')])")
  read -r owner role_arn boundary <<<"$actual"
  if [ -z "$actual" ]; then
    say "Creating the role $role"
    # With its boundary from the first moment: an account may refuse roles without one.
    boundary=$PERMISSIONS_BOUNDARY_ARN
    role_is_new=yes
    role_arn=$(value aws iam create-role --role-name "$role" --description "Role of the function $2" \
      --assume-role-policy-document file://scripts/trust.json --tags "$(tag_list "${stage_tags[@]}")" \
      ${PERMISSIONS_BOUNDARY_ARN:+--permissions-boundary "$PERMISSIONS_BOUNDARY_ARN"} --query Role.Arn)
    aws iam wait role-exists --role-name "$role"
  elif [ "$owner" != "$project,$STAGE" ]; then
    die "the role $role exists already and is not this stage's; delete it, or deploy to another STAGE"
  fi

  statements=$(own_statements "$1")
  aws iam put-role-policy --role-name "$role" --policy-name function \
    --policy-document "$(permissions "$(log_group_arn "$2")" "$statements")"
  if [ -n "$PERMISSIONS_BOUNDARY_ARN" ] && [ "$boundary" != "$PERMISSIONS_BOUNDARY_ARN" ]; then
    aws iam put-role-permissions-boundary --role-name "$role" --permissions-boundary "$PERMISSIONS_BOUNDARY_ARN"
  elif [ -z "$PERMISSIONS_BOUNDARY_ARN" ] && [ -n "$boundary" ]; then
    aws iam delete-role-permissions-boundary --role-name "$role"
  fi
}

# environment_json NAME=VALUE...: print the environment variables as JSON, as a function takes them.
environment_json() {
  local line text separator='' result=''
  for line in "$@"; do
    text=${line#*=}
    text=${text//\\/\\\\}
    result+="$separator\"${line%%=*}\": \"${text//\"/\\\"}\""
    separator=', '
  done
  printf '{"Variables": {%s}}\n' "$result"
}

# put_function NAME FUNCTION IMAGE: $LATEST and the tags become as they should be, with the role $role_arn.
put_function() {
  local command lines variables=() options query wanted tag_query='' wanted_tags='' actual state line
  local memory_size=$memory_size timeout=$timeout ephemeral_storage=$ephemeral_storage
  own_settings "$1"
  command=$(command_of "$1")
  lines=$(environment "$1" && own_environment "$1")
  while read -r line; do variables+=("$line"); done <<<"$lines"
  options=(--role "$role_arn" --description "$function_description" --memory-size "$memory_size" --timeout "$timeout"
    --ephemeral-storage "Size=$ephemeral_storage" --tracing-config Mode=Active
    --logging-config "LogFormat=JSON,LogGroup=/aws/lambda/$2,ApplicationLogLevel=$LOG_LEVEL"
    --image-config "{${command:+\"Command\": [\"$command\"]}}" --environment "$(environment_json "${variables[@]}")")

  # One question for all that could have to change: a line for the state, one for the configuration, one for the tags.
  query='Role, Description, to_string(MemorySize), to_string(Timeout), to_string(EphemeralStorage.Size)'
  query+=', TracingConfig.Mode, LoggingConfig.LogFormat, LoggingConfig.LogGroup, LoggingConfig.ApplicationLogLevel'
  query+=", join(' ', ImageConfigResponse.ImageConfig.Command || \`[]\`)"
  wanted="$role_arn|$function_description|$memory_size|$timeout|$ephemeral_storage"
  wanted+="|Active|JSON|/aws/lambda/$2|$LOG_LEVEL|$command"
  for line in "${variables[@]}"; do
    query+=", Environment.Variables.\"${line%%=*}\""
    wanted+="|${line#*=}"
  done
  query+=", to_string(length(keys(Environment.Variables || \`{}\`)))"
  wanted+="|${#variables[@]}"
  for line in "${stage_tags[@]}"; do
    tag_query+=", Tags.\"${line%%=*}\""
    wanted_tags+="|${line#*=}"
  done
  actual=$(answer aws lambda get-function --function-name "$2" --output text --query "join('$newline', [
    join(' ', [$function_owner, Configuration.State, Configuration.LastUpdateStatus || 'None',
      Code.ImageUri || 'None', Configuration.Architectures[0]]),
    Configuration.join('|', [$query][].not_null(@, '')),
    join('|', [''$tag_query][].not_null(@, ''))])")
  if [ -z "$actual" ]; then
    say "Creating the function $2"
    create_function "$2" "$3" "${options[@]}"
    aws lambda wait function-active-v2 --function-name "$2"
    if [ -z "$role_is_new" ]; then put_tags "$2"; fi # what an interrupted deployment left may have others
    return
  fi

  state=${actual%%"$newline"*}
  [[ $state == "$project,$STAGE "* ]] \
    || die "the function $2 exists already and is not this stage's; delete it, or deploy to another STAGE"

  # An interrupted deployment may have left it busy.
  if [[ $state == *' Pending '* ]]; then aws lambda wait function-active-v2 --function-name "$2"; fi
  if [[ $state == *' InProgress '* ]]; then aws lambda wait function-updated-v2 --function-name "$2"; fi
  if [[ $actual != *"$newline$wanted$newline"* ]]; then
    say "Configuring the function $2"
    aws lambda update-function-configuration --function-name "$2" "${options[@]}" >/dev/null
    aws lambda wait function-updated-v2 --function-name "$2"
  fi
  if [[ $state != *" $3 $architecture" ]]; then
    say "Updating the code of the function $2"
    aws lambda update-function-code --function-name "$2" --image-uri "$3" --architectures "$architecture" >/dev/null
    aws lambda wait function-updated-v2 --function-name "$2"
  fi
  if [[ $actual != *"$newline$wanted_tags" ]]; then put_tags "$2"; fi
}

# create_function FUNCTION IMAGE OPTION...: a new role takes seconds until Lambda may assume it.
create_function() {
  local answer attempt
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    if answer=$(aws lambda create-function --function-name "$1" --package-type Image --code "ImageUri=$2" \
      --architectures "$architecture" --tags "$(tag_map "${stage_tags[@]}")" "${@:3}" 2>&1 >/dev/null); then return; fi
    [[ $answer == *'cannot be assumed by Lambda'* ]] || break
    say "Waiting for the role of $1 (attempt $attempt of 10)"
    sleep 3
  done
  die "the function $1 could not be created: ${answer//$'\n'/}"
}

# put_alarms FUNCTION
put_alarms() {
  local kind metric
  for kind in errors throttles; do
    if [ $kind = errors ]; then metric=Errors; else metric=Throttles; fi
    aws cloudwatch put-metric-alarm --alarm-name "$1-$kind" --alarm-description "$metric of the function $1" \
      --namespace AWS/Lambda --metric-name $metric --dimensions "Name=FunctionName,Value=$1" \
      --statistic Sum --period 60 --evaluation-periods 1 --threshold 0 \
      --comparison-operator GreaterThanThreshold --treat-missing-data notBreaching \
      --tags "$(tag_list "${stage_tags[@]}")" ${ALARM_TOPIC_ARN:+--alarm-actions "$ALARM_TOPIC_ARN"}
  done
}

# put_tags FUNCTION: what was made with other tags gets those of now. The function is the last one: where its tags are
# right, all are. Tags that are no longer wanted stay, as others may have set them.
put_tags() {
  local kind
  say "Tagging all that belongs to $1"
  for kind in errors throttles; do
    aws cloudwatch tag-resource --tags "$(tag_list "${stage_tags[@]}")" \
      --resource-arn "arn:$partition:cloudwatch:$AWS_REGION:$account:alarm:$1-$kind"
  done
  aws logs tag-resource --tags "$(tag_map "${stage_tags[@]}")" \
    --resource-arn "arn:$partition:logs:$AWS_REGION:$account:log-group:/aws/lambda/$1"
  aws iam tag-role --role-name "$(role_name "$1")" --tags "$(tag_list "${stage_tags[@]}")"
  aws lambda tag-resource --resource "$(function_arn "$1")" --tags "$(tag_map "${stage_tags[@]}")"
}

# stage_functions: print the functions of this stage, those of removed handlers too.
stage_functions() {
  local name arns arn
  {
    for name in "${functions[@]}"; do function_name "$name"; done
    arns=$(value aws resourcegroupstaggingapi get-resources --resource-type-filters lambda:function \
      --tag-filters "Key=project,Values=$project" "Key=stage,Values=$STAGE" \
      --query "join(' ', ResourceTagMappingList[].ResourceARN)")
    for arn in $arns; do printf '%s\n' "${arn##*:}"; done
  } | sort -u
}

function_exists() {
  local owner
  owner=$(value aws lambda get-function --function-name "$1" --query "$function_owner") || exit
  [ "$owner" = "$project,$STAGE" ]
}

log_group_exists() {
  local group
  group=$(log_group "$1") || exit
  [ -n "$group" ]
}

role_exists() {
  local owner
  owner=$(value aws iam get-role --role-name "$1" --query "$role_owner") || exit
  [ "$owner" = "$project,$STAGE" ]
}

# list_function FUNCTION: print what there is of it, one thing a line.
list_function() {
  local role
  role=$(role_name "$1")
  if function_exists "$1"; then printf 'function, its versions and alias  %s\n' "$1"; fi
  if role_exists "$role"; then printf 'role  %s\n' "$role"; fi
  if log_group_exists "$1"; then printf 'log group  %s\n' "/aws/lambda/$1"; fi
  aws cloudwatch describe-alarms --alarm-names "$1-errors" "$1-throttles" --output text \
    --query 'MetricAlarms[].[AlarmName]' | sed 's/^/alarm  /'
}

# delete_function FUNCTION: delete it with all that belongs to it, and wait until it is gone.
delete_function() {
  local role
  role=$(role_name "$1")
  if function_exists "$1"; then
    say "Deleting the function $1"
    aws lambda delete-function --function-name "$1"
    while function_exists "$1"; do sleep 1; done
  fi
  aws cloudwatch delete-alarms --alarm-names "$1-errors" "$1-throttles"
  gone aws logs delete-log-group --log-group-name "/aws/lambda/$1"
  if role_exists "$role"; then
    gone aws iam delete-role-policy --role-name "$role" --policy-name function
    aws iam delete-role --role-name "$role"
  fi
}
