"""The files in an artifact: layers that are files, and layers that are archives of files.

Their bytes tell which. `oras` gives plain files the media type of an archive, so the type alone says little.
"""

import json
import tarfile
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.content import CHUNK_BYTES, TITLE, Blob, Content
from modelservice_pipeline.package.folder import (
    ADAPTER_SUFFIX,
    MODEL_FILE,
    clean_path,
    find_models,
    is_generative,
)
from modelservice_pipeline.package.image import GENERATION, MODEL_LABEL, SHA256_LABEL, TASK_LABEL
from modelservice_pipeline.package.modelpack import FILE_PATH
from modelservice_pipeline.report.progress import say

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_USTAR = slice(257, 262)
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


@dataclass(frozen=True)
class PackedModel:
    """The model in an artifact: its path there, the SHA-256 of the file, whether nodes mount it.

    `generates` tells that it is one that generates text, which is served with more than its graph. `adapters`
    are the SHA-256 of its LoRA adapters, by the names of their files.
    """

    path: str
    sha256: str
    is_image: bool
    generates: bool = False
    adapters: Mapping[str, str] = field(default_factory=dict)


def layer_path(layer: Blob) -> str | None:
    """Return the path of the file that a layer is, as its manifest says. Raises PipelineError for `..`."""
    named = layer.annotations.get(FILE_PATH) or layer.annotations.get(TITLE)
    return clean_path(named) if named else None


def name_layers(content: Content) -> dict[str, Blob]:
    """Return the layers that are files, by their paths. Raises PipelineError where two have one path."""
    files: dict[str, Blob] = {}
    for layer in content.layers:
        if path := layer_path(layer):
            _check_is_new(path, files)
            files[path] = layer
    return files


def find_model(content: Content) -> PackedModel:
    """Return the model of an artifact by what its manifest says. Raises PipelineError."""
    files = name_layers(content)
    found = find_models(files)
    if len(found) == 1:
        sums = {path: layer.digest.removeprefix("sha256:") for path, layer in files.items()}
        if not is_generative(found[0], files):
            return PackedModel(found[0], sums[found[0]], is_image=False)
        adapters = {
            path.rpartition("/")[2]: sha256
            for path, sha256 in sorted(sums.items())
            if path.endswith(ADAPTER_SUFFIX)
        }
        return PackedModel(found[0], sums[found[0]], is_image=False, generates=True, adapters=adapters)
    labels = image_labels(content)
    if MODEL_LABEL in labels and SHA256_LABEL in labels:
        generates = labels.get(TASK_LABEL) == GENERATION
        return PackedModel(labels[MODEL_LABEL], labels[SHA256_LABEL], is_image=True, generates=generates)
    if found:
        raise PipelineError(f"the artifact holds {len(found)} models ({', '.join(found[:5])}): expected one")
    raise PipelineError("the artifact does not say where its model is: expected one of 'model package'")


def image_labels(content: Content) -> dict[str, str]:
    """Return the labels of an image; none where it is another artifact."""
    config = read_config(content).get("config")
    labels = config.get("Labels") if isinstance(config, dict) else None
    return {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {}


def read_config(content: Content) -> dict[str, Any]:
    """Return the config as JSON, empty where it is none. Raises PipelineError."""
    body = b"".join(content.config.read())
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def read_files(content: Content) -> Iterator[tuple[str, Iterator[bytes] | None]]:
    """Yield each file with its bytes, to be read before the next one; None where a layer takes one away.

    Every layer is checked against its digest at its end. Raises PipelineError.
    """
    layers, seen = content.layers, set[str]()
    for layer in layers:
        chunks = layer.read()
        head = _take(chunks, 512)
        chunks = chain(head, chunks)
        if _is_archive(layer, b"".join(head)):
            yield from _unpack(layer, chunks)
            continue
        path = layer_path(layer) or (MODEL_FILE if len(layers) == 1 else None)
        if path is None:
            raise PipelineError(f"the layer {layer.digest[:19]} is a file without a name: expected a title")
        _check_is_new(path, seen)
        seen.add(path)
        yield path, chunks


def _check_is_new(path: str, seen: Container[str]) -> None:
    """Two layers that are one file have no order that readers agree on."""
    if path in seen:
        raise PipelineError(
            f"two layers of the artifact are the file {path}: expected one layer for each path"
        )


def _take(chunks: Iterator[bytes], size_bytes: int) -> list[bytes]:
    taken: list[bytes] = []
    while sum(map(len, taken)) < size_bytes and (chunk := next(chunks, None)) is not None:
        taken.append(chunk)
    return taken


def _is_archive(layer: Blob, head: bytes) -> bool:
    if layer.media_type.endswith(".raw"):
        return False
    if head.startswith(_ZSTD):
        raise PipelineError(f"the layer {layer.name} is compressed with zstd, which is not read here")
    return head[_USTAR] == b"ustar" or (head.startswith(_GZIP) and "gzip" in layer.media_type)


def _unpack(layer: Blob, chunks: Iterator[bytes]) -> Iterator[tuple[str, Iterator[bytes] | None]]:
    try:
        with tarfile.open(fileobj=_Reader(chunks), mode="r|*") as archive:  # type: ignore[call-overload]
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                if name == _OPAQUE:
                    yield f"{clean_path(folder)}/", None
                elif name.startswith(_WHITEOUT):
                    yield clean_path(f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/")), None
                elif member.isreg():
                    path, stream = clean_path(member.name), archive.extractfile(member)
                    assert stream is not None
                    yield path, iter(lambda stream=stream: stream.read(CHUNK_BYTES), b"")  # type: ignore[misc]
                elif not member.isdir():
                    say(f"left out: {member.name} ({'a link' if member.linkname else 'no regular file'})")
        for _ in chunks:  # to the end, where the digest is checked
            pass
    except (tarfile.TarError, EOFError, OSError) as error:
        raise PipelineError(f"the layer {layer.name} is a damaged archive: {error}") from None


class _Reader:
    """Chunks as tarfile reads a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def read(self, size_bytes: int) -> bytes:
        parts, have = [self._rest], len(self._rest)
        while have < size_bytes and (chunk := next(self._chunks, None)) is not None:
            parts.append(chunk)
            have += len(chunk)
        joined = b"".join(parts)
        self._rest = joined[size_bytes:]
        return joined[:size_bytes]
