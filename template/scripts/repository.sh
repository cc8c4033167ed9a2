# shellcheck shell=bash disable=SC2034,SC2154
# The image repository, which all stages of the project share. Its own tags say which stages use it, so that the
# last one to be destroyed takes it along. Sourced, never run.

# repository_arn: print its ARN, or nothing where there is none.
repository_arn() {
  value aws ecr describe-repositories --repository-names "$project" --query 'repositories[0].repositoryArn'
}

# join_repository: make the repository where it is missing, and enter this stage. Sets $uri, its address.
join_repository() {
  local arn_and_uri
  arn_and_uri=$(value aws ecr describe-repositories --repository-names "$project" \
    --query "join(' ', repositories[0].[repositoryArn, repositoryUri])")
  if [ -z "$arn_and_uri" ]; then
    say "Creating the repository $project"
    arn_and_uri=$(value aws ecr create-repository --repository-name "$project" --image-tag-mutability IMMUTABLE \
      --image-scanning-configuration scanOnPush=true --tags "$(tag_list "${tags[@]}")" \
      --query "join(' ', repository.[repositoryArn, repositoryUri])")
  fi
  uri=${arn_and_uri#* }
  aws ecr tag-resource --resource-arn "${arn_and_uri% *}" --tags "$(tag_list "${tags[@]}" "stage:$STAGE=deployed")"
}

# other_stages ARN: print the other stages that use the repository.
other_stages() {
  value aws ecr list-tags-for-resource --resource-arn "$1" \
    --query "join(' ', tags[?starts_with(Key, 'stage:') && Key!='stage:$STAGE'].Key)"
}

# leave_repository: strike this stage off, and delete the repository with its images if it was the last.
leave_repository() {
  local arn others
  arn=$(repository_arn)
  if [ -z "$arn" ]; then return; fi
  others=$(other_stages "$arn")
  if [ -n "$others" ]; then
    aws ecr untag-resource --resource-arn "$arn" --tag-keys "stage:$STAGE"
    say "Keeping the repository $project: in use by ${others//stage:/}"
  else
    say "Deleting the repository $project and its images"
    aws ecr delete-repository --repository-name "$project" --force >/dev/null
  fi
}
