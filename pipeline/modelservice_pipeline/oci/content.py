"""What is pushed and pulled: documents (manifests, indexes) and blobs, each known by its SHA-256.

OCI image specification 1.1: https://github.com/opencontainers/image-spec/blob/v1.1.0/spec.md
"""

import hashlib
import json
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from modelservice_pipeline.errors import PipelineError

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
IMAGE_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPES = (MANIFEST_TYPE, DOCKER_MANIFEST_TYPE)
INDEX_TYPES = (INDEX_TYPE, DOCKER_INDEX_TYPE)
TITLE = "org.opencontainers.image.title"
CHUNK_BYTES = 1 << 20
MAX_DOCUMENT_BYTES = 4 << 20
"""What registries take of a manifest; whoever sends more is not read to the end."""

_DIGEST = re.compile("sha256:[0-9a-f]{64}")

Open = Callable[[], Iterator[bytes]]
"""Begins to read a blob; each call reads it anew."""


@dataclass(frozen=True)
class Blob:
    """Bytes that a manifest names, wherever they lie."""

    media_type: str
    digest: str
    size_bytes: int
    open: Open
    annotations: Mapping[str, str] = field(default_factory=dict)

    def descriptor(self) -> dict[str, Any]:
        """Return what a manifest says of it."""
        said: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size_bytes,
        }
        return said | ({"annotations": dict(self.annotations)} if self.annotations else {})

    def read(self) -> Iterator[bytes]:
        """Yield its bytes. Raises PipelineError at their end where they are others than the digest says."""
        digest, size_bytes = hashlib.sha256(), 0
        for chunk in self.open():
            digest.update(chunk)
            size_bytes += len(chunk)
            if size_bytes > self.size_bytes:
                break
            yield chunk
        found = f"sha256:{digest.hexdigest()}"
        if size_bytes != self.size_bytes or found != self.digest:
            raise PipelineError(
                f"{self.name} is not what its manifest says: expected {self.size_bytes} bytes of "
                f"{self.digest}, found {found}; it was damaged or changed on the way, or while it was read"
            )

    @property
    def name(self) -> str:
        """What to call it in a sentence."""
        return self.annotations.get(TITLE) or f"blob {self.digest[:19]}"


@dataclass(frozen=True)
class Document:
    """A manifest or an index."""

    media_type: str
    body: bytes

    @property
    def digest(self) -> str:
        """With `sha256:` in front."""
        return digest_of(self.body)

    def parse(self) -> dict[str, Any]:
        """Return the document. Raises PipelineError where it is none."""
        try:
            parsed = json.loads(self.body)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict):
            raise PipelineError("the manifest is not a JSON object: expected an OCI manifest or index")
        return parsed

    def descriptor(self, **more: Any) -> dict[str, Any]:
        """Return what an index says of it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body), **more}


@dataclass(frozen=True)
class Content:
    """An artifact or an image, whole.

    Attributes:
        root: What its reference leads to.
        manifests: The root, or those that it lists, each complete in `blobs`.
        blobs: Configs and layers of all manifests by their digests.
    """

    root: Document
    manifests: tuple[Document, ...]
    blobs: Mapping[str, Blob]

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest, of several the first: they differ in the platform alone."""
        return self.manifests[0].parse()

    @property
    def config(self) -> Blob:
        """The config of the manifest."""
        return self.blobs[self.manifest["config"]["digest"]]

    @property
    def layers(self) -> tuple[Blob, ...]:
        """The layers of the manifest, the lowest first; two may have the same bytes."""
        return tuple(
            replace(
                self.blobs[layer["digest"]],
                media_type=str(layer.get("mediaType", "")),
                annotations=read_annotations(layer),
            )
            for layer in self.manifest["layers"]
        )


def build_content(manifests: Iterable[tuple[dict[str, Any], Iterable[Blob]]]) -> Content:
    """Return the content of manifests with their blobs; several become an index of theirs."""
    documents: list[Document] = []
    blobs: dict[str, Blob] = {}
    entries: list[dict[str, Any]] = []
    for manifest, parts in manifests:
        platform = manifest.pop("platform", None)
        documents.append(Document(MANIFEST_TYPE, encode(manifest)))
        entries.append(documents[-1].descriptor(**({"platform": platform} if platform else {})))
        blobs |= {blob.digest: blob for blob in parts}
    if len(documents) == 1:
        return Content(documents[0], tuple(documents), blobs)
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
    return Content(Document(INDEX_TYPE, encode(index)), tuple(documents), blobs)


def load_content(
    root: Document, read: Callable[[str], Document], open_blob: Callable[[str, int], Iterator[bytes]]
) -> Content:
    """Return the content that a document leads to.

    Args:
        root: A manifest or an index.
        read: Reads the document of a digest.
        open_blob: Reads the blob of a digest and size in bytes.

    Raises:
        PipelineError: It is neither, or what it lists is not well formed.
    """
    parsed = root.parse()
    documents = (
        [root]
        if "manifests" not in parsed
        else [read(check_digest(entry)) for entry in _objects(parsed["manifests"]) if not _is_attached(entry)]
    )
    blobs: dict[str, Blob] = {}
    for document in documents:
        manifest = document.parse()
        if not isinstance(manifest.get("layers"), list) or not isinstance(manifest.get("config"), dict):
            raise PipelineError("the manifest has no config and layers: expected an OCI artifact or image")
        for entry in (manifest["config"], *_objects(manifest["layers"])):
            blob = _read_blob(entry, open_blob)
            blobs.setdefault(blob.digest, blob)
    if not documents:
        raise PipelineError("the index lists no manifest: expected at least one")
    return Content(root, tuple(documents), blobs)


def encode(document: Mapping[str, Any]) -> bytes:
    """Return JSON that is the same for the same document, everywhere."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(data: bytes) -> str:
    """Return the digest as OCI writes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def blob_of_bytes(media_type: str, data: bytes) -> Blob:
    """Return a blob that lies in memory."""
    return Blob(media_type, digest_of(data), len(data), lambda: iter((data,)))


def read_file(path: Path) -> Iterator[bytes]:
    """Yield a file in pieces. Raises PipelineError."""
    try:
        with open_regular(path) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from None


def open_regular(path: Path) -> BinaryIO:
    """Open a file; raises PipelineError for what is none, such as a pipe, which may never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise PipelineError(f"cannot read {path}: it is not a regular file")
    return path.open("rb")


def check_digest(entry: Mapping[str, Any]) -> str:
    """Return the digest of a descriptor. Raises PipelineError where it is not SHA-256."""
    digest = entry.get("digest")
    if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        raise PipelineError(f"the manifest names the digest {digest!r}: expected sha256: and 64 hex digits")
    return digest


def _read_blob(entry: Mapping[str, Any], open_blob: Callable[[str, int], Iterator[bytes]]) -> Blob:
    digest, size = check_digest(entry), entry.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise PipelineError(f"the manifest gives {digest} the size {size!r}: expected a number of bytes")
    media_type = str(entry.get("mediaType", ""))
    return Blob(media_type, digest, size, lambda: open_blob(digest, size), read_annotations(entry))


def read_annotations(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotations of a descriptor as texts; none where they are no object."""
    said = entry.get("annotations")
    return {str(key): str(value) for key, value in said.items()} if isinstance(said, dict) else {}


def _objects(entries: object) -> list[dict[str, Any]]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise PipelineError("the manifest has a list of other things than objects")
    return entries


def _is_attached(entry: Mapping[str, Any]) -> bool:
    """Whether it describes a build, as docker buildx puts it beside the image."""
    annotations = entry.get("annotations")
    return isinstance(annotations, dict) and "vnd.docker.reference.type" in annotations
