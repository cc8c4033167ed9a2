# shellcheck shell=bash disable=SC2034,SC2154
# Settings of the stages, yours to edit; what is set in the environment wins.
#
#   LOG_LEVEL                 DEBUG, INFO, WARN, ERROR or FATAL
#   ALARM_TOPIC_ARN           the SNS topic that hears of alarms; none if empty
#   PERMISSIONS_BOUNDARY_ARN  the policy that bounds the functions' roles; none if empty
#
# What no stage says is as the answers of the template say it. $partition and $account are at hand, for stages in other
# accounts: PERMISSIONS_BOUNDARY_ARN=arn:$partition:iam::$account:policy/boundary

case $STAGE in
  prod)
    LOG_LEVEL=${LOG_LEVEL:-INFO}
    ;;
esac

LOG_LEVEL=${LOG_LEVEL:-INFO}
ALARM_TOPIC_ARN=${ALARM_TOPIC_ARN-$alarm_topic_arn}
PERMISSIONS_BOUNDARY_ARN=${PERMISSIONS_BOUNDARY_ARN-$permissions_boundary_arn}
