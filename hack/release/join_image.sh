#!/usr/bin/env bash
# Gives the images of all architectures one name, and signs it by its digest. Used by the release workflow.
#   join_image.sh IMAGE VERSION amd64,arm64
set -euo pipefail

image=$1 version=$2
sources=()
for architecture in ${3//,/ }; do
    sources+=("$image:$version-$architecture")
done

docker buildx imagetools create --tag "$image:$version" "${sources[@]}"
digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image:$version")
cosign sign --yes --recursive "$image@$digest"
echo "$image@$digest"
