"""Reads OCI manifests (OCI image specification 1.1) and Docker's version 2. Pure.

What a layer is - a file or an archive of files - is told by its bytes, not here: `oras push` gives plain
files the media type of an archive. Here is only what the manifest says: digests, sizes, and the paths that
`oras` and ModelPack (CNCF model specification) note for the files.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.names import clean_path

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
# What a file is called: by ModelPack, by oras.
_PATH_ANNOTATIONS = ("org.cncf.model.filepath", "org.opencontainers.image.title")
# Docker buildx puts the description of a build beside the image, for a platform that does not exist.
_REFERENCE_TYPE = "vnd.docker.reference.type"
_NO_PLATFORM = "unknown"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_SIZE_BYTES = 2**63 - 1
MAX_LAYERS = 200  # images have at most 127, and every file of an artifact is a layer


@dataclass(frozen=True)
class Layer:
    """One blob of an artifact.

    Attributes:
        path: what the manifest calls the file; None where it says nothing or nothing usable.
        digest: without its `sha256:`.
        size_bytes: of the blob.

    """

    path: str | None
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Artifact:
    """The layers of one manifest, the lowest first."""

    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Index:
    """A list of manifests; `digest`, with its `sha256:`, is that of the one to take."""

    digest: str


def parse_manifest(body: bytes, architecture: str) -> Artifact | Index:
    """Read a manifest, or an index.

    Args:
        body: the document.
        architecture: of this machine, in the words of Go: of several images the one for it is taken.

    Raises:
        FetchError: `ArchiveRefused` where it is of another kind, `ModelNotFound` where an index has
            nothing for this machine.

    """
    manifest = _parse_object(body)
    if "manifests" in manifest:
        return _parse_index(manifest["manifests"], architecture)
    layers = manifest.get("layers")
    if not isinstance(layers, list) or len(layers) > MAX_LAYERS:
        raise refused(f"the manifest has no list of at most {MAX_LAYERS} layers")
    if not layers:
        raise refused("the artifact has no layers, so no files")
    return Artifact(tuple(_parse_layer(layer) for layer in layers))


def refused(message: str) -> FetchError:
    """The failure of an artifact in a form that is not stored."""
    return FetchError(
        FetchReason.ARCHIVE_REFUSED,
        f"{message}; push the files themselves, as in: oras push registry/repository:tag model.onnx",
    )


def _parse_object(body: bytes) -> Mapping[str, Any]:
    try:
        manifest = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise refused("the manifest is not JSON") from error
    if not isinstance(manifest, dict):
        raise refused("the manifest is not a JSON object")
    return manifest


def _parse_index(entries: object, architecture: str) -> Index:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise refused("the index has no list of manifests")
    images = [entry for entry in entries if not _is_attestation(entry)]
    suited = [entry for entry in images if _platform(entry) == f"linux/{architecture}"]
    # Of several for one platform (arm64 has variants) the first is the most general.
    chosen = suited[0] if suited else images[0] if len(images) == 1 else None
    if chosen is None:
        offered = ", ".join(sorted({_platform(entry) or "no platform" for entry in images})) or "nothing"
        raise FetchError(
            FetchReason.MODEL_NOT_FOUND,
            f"the index offers {offered[:300]}, and this machine is linux/{architecture}; push one for it, "
            "or name one manifest by its digest (@sha256:...)",
        )
    return Index(_parse_digest(chosen))


def _is_attestation(entry: Mapping[str, Any]) -> bool:
    annotations = entry.get("annotations")
    noted = isinstance(annotations, dict) and _REFERENCE_TYPE in annotations
    return noted or _NO_PLATFORM in _platform(entry).split("/")


def _platform(entry: Mapping[str, Any]) -> str:
    platform = entry.get("platform")
    if not isinstance(platform, dict):
        return ""
    return f"{platform.get('os', '')}/{platform.get('architecture', '')}"


def _parse_digest(descriptor: Mapping[str, Any]) -> str:
    digest = descriptor.get("digest")
    if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        raise refused("the manifest has a digest that is not sha256")
    return digest


def _parse_layer(layer: object) -> Layer:
    if not isinstance(layer, dict):
        raise refused("a layer of the manifest is not an object")
    size = layer.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAX_SIZE_BYTES:
        raise refused("a layer of the manifest has no size")
    return Layer(_find_path(layer.get("annotations")), _parse_digest(layer).removeprefix("sha256:"), size)


def _find_path(annotations: object) -> str | None:
    if not isinstance(annotations, dict):
        return None
    named = (annotations[key] for key in _PATH_ANNOTATIONS if isinstance(annotations.get(key), str))
    return next((path for path in map(clean_path, named) if path), None)
