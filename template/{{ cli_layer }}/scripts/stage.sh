# shellcheck shell=bash
# All that belongs to a stage: listed, and deleted. Sourced, never run.

# shellcheck source=/dev/null
. scripts/resources.sh
# shellcheck source=scripts/own.sh
. scripts/own.sh

# list_stage: print what belongs to the stage, one thing a line.
list_stage() {
  local function
  for function in $(stage_functions); do list_function "$function"; done
  list_own_resources
}

# delete_stage: delete it all, and wait until it is gone.
delete_stage() {
  local function
  delete_own_resources
  for function in $(stage_functions); do delete_function "$function"; done
}
