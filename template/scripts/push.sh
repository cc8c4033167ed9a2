#!/usr/bin/env bash
# Push the image to the project's repository, unless it is there already.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/push.sh IMAGE
  Pushes IMAGE (NAME:TAG, as scripts/build.sh prints it) to the project's ECR repository, which is made where it is
  missing, and prints the image's address by digest on standard output. Tags are never overwritten.
  STAGE (default dev), AWS_PROFILE and AWS_REGION are honoured.
TEXT
}

# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/repository.sh
. scripts/repository.sh
if [ $# -ne 1 ] || [[ $1 == -* ]]; then options "${@:-missing}"; fi
image=$1
tag=${image##*:}

# pushed_digest: print the digest of the image in the repository, or nothing.
pushed_digest() {
  value aws ecr describe-images --repository-name "$project" --image-ids "imageTag=$tag" \
    --query 'imageDetails[0].imageDigest'
}

check_image() {
  local actual
  actual=$(docker image inspect --format '{{.Architecture}}' "$image" 2>/dev/null) \
    || die "there is no image $image on this machine; run: make build"
  if [ "$actual" = amd64 ]; then actual=x86_64; fi
  [ "$actual" = "$architecture" ] \
    || die "the image $image is for $actual, but the functions run on $architecture; run: make build"
}

push() {
  local answer
  aws ecr put-lifecycle-policy --repository-name "$project" \
    --lifecycle-policy-text file://scripts/lifecycle.json >/dev/null
  if ! answer=$(aws ecr get-login-password | docker login --username AWS --password-stdin "${uri%%/*}" 2>&1); then
    die "the registry ${uri%%/*} refused the login (${answer//$'\n'/ }); check AWS_REGION and your permission ecr:GetAuthorizationToken"
  fi
  docker tag "$image" "$uri:$tag"
  if ! docker push "$uri:$tag" >&2; then
    docker rmi "$uri:$tag" >/dev/null
    die "the push of $uri:$tag was refused, see above; check your permissions on the repository and run it again"
  fi
  docker rmi "$uri:$tag" >/dev/null
}

need docker 'install Docker: https://docs.docker.com/get-started/get-docker/'
check_image
join_repository
digest=$(pushed_digest)
if [ -n "$digest" ]; then
  say "The image $tag is in the repository already"
else
  say "Pushing $uri:$tag"
  push
  digest=$(pushed_digest)
fi
printf '%s@%s\n' "$uri" "$digest"
