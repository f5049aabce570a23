#!/usr/bin/env bash
# Packages the chart with the version of the release, pushes it and signs it by its digest. Used by the release
# workflow.
#   push_chart.sh REGISTRY VERSION
set -euo pipefail
cd "$(dirname "$0")/../.."

registry=$1 version=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

helm package charts/modelservice-operator --version "$version" --app-version "$version" --destination "$folder"
# helm says `Digest: sha256:...` of what it has pushed.
digest=$(helm push "$folder/modelservice-operator-$version.tgz" "oci://$registry/charts" 2>&1 \
    | tee /dev/stderr | sed -n 's/^Digest: //p')
cosign sign --yes "$registry/charts/modelservice-operator@$digest"
