"""Reads OCI manifests (OCI image specification 1.1). Pure.

An artifact is a manifest whose layers are plain files named by the annotation
``org.opencontainers.image.title``, as ``oras push`` writes it. Archives are not unpacked: a file needs
no archive, and what is not unpacked cannot escape.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.limits import MAX_FILES
from modelservice_runtime.fetch.names import MODEL_FILE, choose_model_file, validate_file_name

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_TITLE = "org.opencontainers.image.title"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ARCHIVE_TYPE = re.compile(r"\b(tar|zip)\b|\+(gzip|zstd)$")
_MAX_SIZE_BYTES = 2**63 - 1


@dataclass(frozen=True)
class Layer:
    """One file of an artifact; ``digest`` without its ``sha256:``."""

    name: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Artifact:
    """Files of an artifact, the model last: where the model is there, the rest is too."""

    layers: tuple[Layer, ...]

    @property
    def model(self) -> Layer:
        """The ONNX file."""
        return self.layers[-1]


@dataclass(frozen=True)
class Index:
    """A list of manifests that has a single entry; ``digest`` with its ``sha256:``."""

    digest: str


def parse_manifest(body: bytes) -> Artifact | Index:
    """Read a manifest, or an index with exactly one manifest.

    Raises:
        FetchError: ``ArchiveRefused`` where the files cannot be stored as they are, ``ModelNotFound``
            where none is a model.

    """
    manifest = _parse_object(body)
    if "manifests" in manifest:
        return _parse_index(manifest)
    layers = manifest.get("layers")
    if not isinstance(layers, list) or not 0 < len(layers) <= MAX_FILES:
        raise refused(f"the artifact needs 1 to {MAX_FILES} layers, each one file")
    files = [_parse_layer(layer, alone=len(layers) == 1) for layer in layers]
    model_name = choose_model_file([file.name for file in files])
    return Artifact(tuple(sorted(files, key=lambda file: file.name == model_name)))


def refused(message: str) -> FetchError:
    """The failure of an artifact in a form that is not stored."""
    return FetchError(
        FetchReason.ARCHIVE_REFUSED,
        f"{message}; push plain files, as in: oras push registry/repository:tag model.onnx",
    )


def _parse_object(body: bytes) -> Mapping[str, Any]:
    try:
        manifest = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise refused("the manifest is not JSON") from error
    if not isinstance(manifest, dict):
        raise refused("the manifest is not a JSON object")
    return manifest


def _parse_index(manifest: Mapping[str, Any]) -> Index:
    entries = manifest["manifests"]
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], dict):
        raise refused("the reference names several manifests, not one artifact; name one by its digest")
    return Index(_parse_digest(entries[0]))


def _parse_digest(descriptor: Mapping[str, Any]) -> str:
    digest = descriptor.get("digest")
    if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        raise refused("the manifest has a digest that is not sha256")
    return digest


def _parse_layer(layer: object, *, alone: bool) -> Layer:
    """Read one descriptor; a file that is alone is called ``model.onnx``, whatever its title."""
    if not isinstance(layer, dict):
        raise refused("a layer of the manifest is not an object")
    media_type, size = layer.get("mediaType"), layer.get("size")
    if not isinstance(media_type, str) or _ARCHIVE_TYPE.search(media_type):
        raise refused(f"a layer is an archive or compressed ({str(media_type)[:100]!r})")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAX_SIZE_BYTES:
        raise refused("a layer of the manifest has no size")
    digest = _parse_digest(layer).removeprefix("sha256:")
    if alone:
        return Layer(MODEL_FILE, digest, size)
    annotations = layer.get("annotations")
    title = annotations.get(_TITLE) if isinstance(annotations, dict) else None
    if not isinstance(title, str):
        raise refused(f"one of several layers has no annotation {_TITLE}")
    return Layer(validate_file_name(title), digest, size)
