#!/usr/bin/env bash
# Build the image of all functions.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/build.sh [OPTION...]
  Builds the image for the functions' architecture and prints its name, PROJECT:TAG, on standard output. The tag
  names the content: the same sources and base images give the same image and the same tag.
  OPTIONs go to `docker buildx build`, for example --no-cache, or --pull for new base images.
  PIP_CONFIG_FILE, where set, is the pip.conf that the build reads: for a private package index.
TEXT
}

case ${1-} in
  -h | --help)
    usage
    exit
    ;;
esac

die() {
  echo "error: $1" >&2
  exit 1
}

command -v docker >/dev/null \
  || die "Docker is not installed; install version 23 or newer: https://docs.docker.com/get-started/get-docker/"
docker buildx version >/dev/null 2>&1 \
  || die "Docker has no buildx; install it: https://docs.docker.com/build/install-buildx/"
docker version >/dev/null 2>&1 \
  || die "no Docker engine answers; start it, or set DOCKER_HOST to one that runs"

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/project.sh
. scripts/project.sh
id_file=$(mktemp)
trap 'rm -f "$id_file"' EXIT

# A constant date: a date that moves would give a new image, and a deployment, where nothing changed.
options=(--build-arg "SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532800}")
if [ -n "${PIP_CONFIG_FILE-}" ]; then
  [ -f "$PIP_CONFIG_FILE" ] || die "there is no file '$PIP_CONFIG_FILE'; set PIP_CONFIG_FILE to a pip.conf"
  options+=(--secret "id=pip,src=$PIP_CONFIG_FILE")
fi

# Lambda accepts an image for one platform only, not the index that attestations would make of it.
docker buildx build --platform "linux/$architecture" --provenance=false --sbom=false --load \
  --iidfile "$id_file" "${options[@]}" "$@" . >&2

id=$(<"$id_file")
digest=${id#sha256:}
image=$project:${digest::12}
docker tag "$id" "$image"
echo "$image"
