#!/usr/bin/env bash
# Builds one image for one architecture and pushes it as IMAGE:VERSION-ARCHITECTURE, with what the builder knows of
# its own work (SBOM of the Debian packages, provenance) beside it. Used by the release workflow.
#   DOCKERFILE=operator/Dockerfile VARIANT=cpu PLATFORM=linux/amd64 ARCHITECTURE=amd64 push_image.sh IMAGE VERSION
set -euo pipefail
cd "$(dirname "$0")/../.."

image=$1 version=$2
# What is built from a commit has the commit's time, so that it can be built again with the same result.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

docker buildx build \
    --platform "$PLATFORM" \
    --file "$DOCKERFILE" \
    --build-arg "VARIANT=$VARIANT" \
    --build-arg "VERSION=$version" \
    --build-arg "REVISION=$(git rev-parse HEAD)" \
    --build-arg "SOURCE=https://github.com/$GITHUB_REPOSITORY" \
    --build-arg SOURCE_DATE_EPOCH \
    --provenance mode=max \
    --sbom true \
    --output "type=image,name=$image:$version-$ARCHITECTURE,push=true,rewrite-timestamp=true" \
    .
