# shellcheck shell=bash disable=SC2034,SC2154
# What the project has of its own, beyond what the template gives every project: yours to fill, and no update of the
# template touches it. Sourced by the scripts; $project, $STAGE and the functions of scripts/common.sh are at hand.

# own_settings NAME: change $memory_size (MB), $timeout (seconds) or $ephemeral_storage (MB) of the function, such as
#   if [ "$1" = worker ]; then timeout=300; fi
own_settings() { :; }

# own_environment NAME: print more environment variables of the function, one NAME=VALUE a line, such as
#   printf '%s\n' "TABLE=$project-$STAGE-orders"
own_environment() { :; }

# own_statements NAME: print more statements of the function's policy, in JSON with commas between them, such as
#   {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "arn:aws:dynamodb:*:*:table/my-table"}
own_statements() { :; }

# put_own_resources: make what is missing, and change what is not as it should be. Every deployment begins with it.
put_own_resources() { :; }

# put_own_triggers: the same for what invokes the functions. Every deployment ends with it, when `live` has moved:
#   "$(function_name main):live"
put_own_triggers() { :; }

# list_own_resources: print what there is of it, one thing a line: before the stage is deleted.
list_own_resources() { :; }

# delete_own_resources: delete it, where it is there.
delete_own_resources() { :; }
