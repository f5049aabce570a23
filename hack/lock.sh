#!/usr/bin/env bash
# Writes requirements/*.txt: every package of an extra with its exact version and the hashes of its files.
# Without arguments all files are renewed within the versions they already pin; `hack/lock.sh --upgrade`
# moves to the newest versions that pyproject.toml allows.
set -euo pipefail
cd "$(dirname "$0")/.."

UV=${UV:-.venv/bin/uv}
mkdir -p requirements

OPTIONS=(
    --universal --python-version 3.11 --generate-hashes
    --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet
)

# One file: `lock NAME EXTRA [OPTION...]`.
lock() {
    local file="requirements/$1.txt" extra="$2"
    shift 2
    echo "==> $file" >&2
    "$UV" pip compile pyproject.toml --extra "$extra" --output-file "$file" "${OPTIONS[@]}" "$@"
}

# What goes into images.
lock operator operator --extra image "$@"
lock runtime runtime --extra guidance --extra otel --extra image "$@"
lock runtime-gpu gpu --extra guidance --extra otel --extra image "$@"
lock train train "$@"
lock dev dev "$@"
lock fuzz fuzz "$@"
lock audit audit "$@"
lock sbom sbom "$@"
lock docs docs "$@"
lock explainers explainers "$@"

# The environments that models are converted in; they come with the package.
for file in pipeline/modelservice_pipeline/convert/requirements/*.in; do
    echo "==> ${file%.in}.txt" >&2
    "$UV" pip compile "$file" --output-file "${file%.in}.txt" "${OPTIONS[@]}" "$@"
done

echo "==> requirements/build.txt" >&2
python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
    | "$UV" pip compile - --output-file requirements/build.txt "${OPTIONS[@]}" "$@"
