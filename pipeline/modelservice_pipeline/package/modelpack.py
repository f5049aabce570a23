"""A model's folder as a ModelPack artifact: a layer a file, uncompressed, the same bytes from the same files.

CNCF model specification 1 (https://github.com/modelpack/model-spec/blob/v0.0.7/docs/spec.md). Layers carry
the annotation of ModelPack and that of `oras`, so both find the names of the files.
"""

import fnmatch
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelservice_pipeline.oci.content import (
    MANIFEST_TYPE,
    TITLE,
    Blob,
    Content,
    blob_of_bytes,
    build_content,
    encode,
    read_file,
)
from modelservice_pipeline.package.description import Description
from modelservice_pipeline.package.folder import ModelFolder

ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
FILE_PATH = "org.cncf.model.filepath"
WEIGHT, WEIGHT_CONFIG, DOC, CODE, DATASET = (
    f"application/vnd.cncf.model.{kind}.v1.raw"
    for kind in ("weight", "weight.config", "doc", "code", "dataset")
)
_KINDS = (
    (DOC, ("README*", "LICEN[CS]E*", "COPYING*", "NOTICE*", "*.md", "*.html", "*.pdf", "*.png", "*.svg")),
    (DOC, ("report.json",)),
    (CODE, ("*.py", "*.ipynb", "*.sh")),
    (DATASET, ("*.csv", "*.tsv", "*.jsonl", "*.parquet")),
)
_SCALES = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))


def build_modelpack(folder: ModelFolder, description: Description) -> Content:
    """Return the artifact of a folder. Raises PipelineError where a file cannot be read."""
    weights = _weights(folder)
    layers = [
        file_blob(path, WEIGHT if name in weights else _kind(name), {TITLE: name, FILE_PATH: name})
        for name, path in folder.files.items()
    ]
    config = blob_of_bytes(CONFIG_TYPE, encode(_build_config(folder, description, layers)))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": config.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    annotations = description.annotations()
    if annotations:
        manifest["annotations"] = annotations
    return build_content([(manifest, (config, *layers))])


def file_blob(path: Path, media_type: str, annotations: Mapping[str, str]) -> Blob:
    """Return a file as a blob; it is read once for its digest. Raises PipelineError."""
    digest, size_bytes = hashlib.sha256(), 0
    for chunk in read_file(path):
        digest.update(chunk)
        size_bytes += len(chunk)
    return Blob(media_type, f"sha256:{digest.hexdigest()}", size_bytes, lambda: read_file(path), annotations)


def _weights(folder: ModelFolder) -> set[str]:
    parent = folder.model.rpartition("/")[0]
    external = folder.facts.external_files if folder.facts else ()
    return {folder.model, *(f"{parent}/{one}" if parent else one for one in external)}


def _kind(name: str) -> str:
    base = name.rpartition("/")[2]
    for kind, patterns in _KINDS:
        if any(fnmatch.fnmatchcase(base, pattern) for pattern in patterns):
            return kind
    return WEIGHT_CONFIG


def _build_config(folder: ModelFolder, description: Description, layers: list[Blob]) -> dict[str, Any]:
    facts = folder.facts
    technical: dict[str, Any] = {"format": "onnx"}
    if facts is not None and (size := format_parameters(facts.parameters)):
        technical["paramSize"] = size
    if facts is not None and facts.precisions:
        technical["precision"] = ",".join(facts.precisions)
    return {
        "descriptor": description.descriptor(),
        "config": technical,
        "modelfs": {"type": "layers", "diffIds": [layer.digest for layer in layers]},
    }


def format_parameters(count: int) -> str:
    """Return a number of parameters as ModelPack writes it, such as `1.5M`; empty below a thousand."""
    for scale, letter in _SCALES:
        if count >= scale:
            return f"{count / scale:.1f}{letter}".replace(".0", "")
    return ""
