# shellcheck shell=bash disable=SC2154
# The alias `live` of each function: what it points to, tests before it moves, moving it. Sourced, never run.

# live_version FUNCTION: print the version that `live` points to, or nothing.
live_version() {
  value aws lambda get-alias --function-name "$1" --name live --query FunctionVersion
}

# published_versions FUNCTION: print the numbers of its versions, the newest first.
published_versions() {
  value aws lambda list-versions-by-function --function-name "$1" \
    --query "join(' ', reverse(sort_by(Versions[?Version!='\$LATEST'], &to_number(Version)))[].Version)"
}

# invoke_function FUNCTION QUALIFIER EVENT: write the answer to $work/answer and the log's tail to $work/log,
# and fail if the function does. Never twice: a handler need not be idempotent.
invoke_function() {
  local result
  result=$(AWS_MAX_ATTEMPTS=1 aws lambda invoke --function-name "$1:$2" --log-type Tail \
    --payload "fileb://$3" --cli-read-timeout 910 \
    --query "join(' ', [not_null(FunctionError, 'none'), LogResult])" --output text "$work/answer") || return
  base64 --decode <<<"${result#* }" >"$work/log"
  [ "${result%% *}" = none ]
}

# wake FUNCTION VERSION: wait until it can be invoked. A new version is not ready at once, and one that was idle for
# weeks is at rest: its next invocation fails, and wakes it.
wake() {
  local state
  state=$(value aws lambda get-function-configuration --function-name "$1" --qualifier "$2" --query State)
  if [ "$state" = Active ]; then return; fi
  if [ "$state" = Inactive ]; then
    aws lambda invoke --function-name "$1:$2" --invocation-type Event "$work/answer" >/dev/null 2>&1 || true
  fi
  aws lambda wait published-version-active --function-name "$1" --qualifier "$2"
}

# passes NAME VERSION: whether this version of the function answers its sample event.
passes() {
  local function
  function=$(function_name "$1")
  if ! wake "$function" "$2"; then
    say "Version $2 of $function cannot be invoked"
    return 1
  fi
  if ! invoke_function "$function" "$2" "events/${1//-/_}.json"; then
    say "Version $2 of $function failed on events/${1//-/_}.json:"
    cat "$work/answer" "$work/log" >&2 2>/dev/null || true
    return 1
  fi
  say "Version $2 of $function answered events/${1//-/_}.json"
}

# move_live FUNCTION VERSION: point `live` to the version, unless it does already, and say what it was.
move_live() {
  local before
  before=$(live_version "$1")
  if [ -z "$before" ]; then
    aws lambda create-alias --function-name "$1" --name live --function-version "$2" >/dev/null
    say "live of $1: version $2"
  elif [ "$before" != "$2" ]; then
    aws lambda update-alias --function-name "$1" --name live --function-version "$2" >/dev/null
    say "live of $1: version $before -> $2"
  fi
}

# publish FUNCTION: publish what is new in $LATEST, and print the version's number; where nothing is new, the last one's.
publish() { value aws lambda publish-version --function-name "$1" --query Version; }

# remember_live: note what `live` of each function points to, where something else than go_live may move it.
before=()
remember_live() {
  local name
  for name in "${functions[@]}"; do before+=("$(live_version "$(function_name "$name")")"); done
}

# go_live: publish a version of each function, and point `live` of all to them if all pass their tests. Leaves them in
# $versions, in the order of $functions.
versions=()
go_live() {
  local name i failed=''
  for name in "${functions[@]}"; do
    versions+=("$(publish "$(function_name "$name")")")
  done
  for i in "${!functions[@]}"; do
    passes "${functions[i]}" "${versions[i]}" || failed=${failed:-$(function_name "${functions[i]}")}
  done
  if [ -n "$failed" ]; then
    for i in "${!before[@]}"; do
      if [ -n "${before[i]}" ]; then move_live "$(function_name "${functions[i]}")" "${before[i]}"; fi
    done
    die "the smoke test of $failed failed, so live of no function was moved; mend the function and deploy again"
  fi
  for i in "${!functions[@]}"; do
    move_live "$(function_name "${functions[i]}")" "${versions[i]}"
  done
}

# print_outputs IMAGE: what is deployed, on standard output.
print_outputs() {
  local i function
  printf 'image      %s\n' "$1"
  for i in "${!functions[@]}"; do
    function=$(function_name "${functions[i]}")
    printf 'function   %s\n' "$(function_arn "$function")"
    printf 'alias      %s (version %s)\n' "$(function_arn "$function"):live" "${versions[i]}"
    printf 'log group  %s\n' "/aws/lambda/$function"
  done
}
