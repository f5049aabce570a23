"""Artifacts without a registry: an OCI image layout, a folder or a tar of it.

https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
"""

import io
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.content import (
    CHUNK_BYTES,
    INDEX_TYPE,
    MAX_DOCUMENT_BYTES,
    Blob,
    Content,
    Document,
    blob_of_bytes,
    check_digest,
    encode,
    load_content,
    open_regular,
    read_annotations,
    read_file,
)
from modelservice_pipeline.oci.tar import tar_stream

_MARKER = "oci-layout"
_INDEX = "index.json"
_REF_NAME = "org.opencontainers.image.ref.name"
TAR_SUFFIX = ".tar"


def write_layout(content: Content, target: Path, tag: str | None = None) -> None:
    """Write an artifact as a layout: a tar where the name ends so, else a folder, which must be new.

    The same content gives the same bytes. Raises PipelineError; then nothing is left.
    """
    if target.exists():
        raise PipelineError(f"{target} exists: name another place, or remove it")
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.absolute().parent) as folder:
            made = Path(folder) / "layout"
            write = _write_tar if target.suffix == TAR_SUFFIX else _write_folder
            write(_files(content, tag), made)
            made.rename(target)
    except OSError as error:
        raise PipelineError(f"cannot write {target}: {error.strerror}") from None


def _files(content: Content, tag: str | None) -> dict[str, Blob]:
    """Return the files of a layout by their paths."""
    entry = content.root.descriptor(**({"annotations": {_REF_NAME: tag}} if tag else {}))
    artifact_type = content.root.parse().get("artifactType")
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [entry | ({"artifactType": artifact_type} if artifact_type else {})],
    }
    documents = {_blob_path(one.digest): one.body for one in (content.root, *content.manifests)}
    own = {_MARKER: encode({"imageLayoutVersion": "1.0.0"}), _INDEX: encode(index)}
    return {name: blob_of_bytes("", body) for name, body in (own | documents).items()} | {
        _blob_path(digest): blob for digest, blob in content.blobs.items()
    }


def _write_tar(files: Mapping[str, Blob], path: Path) -> None:
    with path.open("wb") as stream:
        for chunk in tar_stream((name, blob.size_bytes, blob.read) for name, blob in files.items()):
            stream.write(chunk)


def _write_folder(files: Mapping[str, Blob], folder: Path) -> None:
    for name, blob in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            for chunk in blob.read():
                stream.write(chunk)


def is_layout(path: Path) -> bool:
    """Whether a layout is there: a folder with its marker, or a tar."""
    return (path / _MARKER).is_file() or (path.is_file() and path.suffix == TAR_SUFFIX)


def read_layout(path: Path, tag: str | None = None) -> Content:
    """Return what lies in a layout; of several entries the one with the tag. Raises PipelineError."""
    files = _TarFiles(path) if path.is_file() else _FolderFiles(path)
    index = Document("", files.read(_INDEX)).parse()
    entries = index.get("manifests")
    listed = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    tags = [read_annotations(entry).get(_REF_NAME, "") for entry in listed]
    chosen = [entry for entry, name in zip(listed, tags, strict=True) if tag in (None, name)]
    if len(chosen) != 1:
        known = ", ".join(filter(None, tags)) or "without tags"
        raise PipelineError(f"{path} holds {len(listed)} artifacts ({known}): expected one")

    def read(digest: str) -> Document:
        body = files.read(_blob_path(digest))
        document = Document("", body)
        if document.digest != digest:
            raise PipelineError(f"{path}: the document {digest} was changed: its digest is {document.digest}")
        return Document(str(document.parse().get("mediaType", "")), body)

    return load_content(
        read(check_digest(chosen[0])), read, lambda digest, _size: files.open(_blob_path(digest))
    )


class _FolderFiles:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> bytes:
        try:
            with open_regular(self._path / name) as stream:
                return _whole(stream, name)
        except OSError as error:
            raise PipelineError(f"cannot read {name} of the layout {self._path}: {error.strerror}") from None

    def open(self, name: str) -> Iterator[bytes]:
        return read_file(self._path / name)


class _TarFiles:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> bytes:
        chunks = self.open(name)
        found = b""
        while len(found) <= MAX_DOCUMENT_BYTES and (chunk := next(chunks, b"")):
            found += chunk
        return _whole(io.BytesIO(found), name)

    def open(self, name: str) -> Iterator[bytes]:
        try:
            with tarfile.open(self._path, "r:") as archive:
                stream = archive.extractfile(name)
                if stream is None:
                    raise PipelineError(f"{name} in {self._path} is not a file")
                while chunk := stream.read(CHUNK_BYTES):
                    yield chunk
        except KeyError:
            raise PipelineError(f"{self._path} is no OCI layout: it has no {name}") from None
        except (OSError, tarfile.TarError) as error:
            raise PipelineError(f"cannot read {self._path}: {error}") from None


def _whole(stream: Any, name: str) -> bytes:
    body: bytes = stream.read(MAX_DOCUMENT_BYTES + 1)
    if len(body) > MAX_DOCUMENT_BYTES:
        raise PipelineError(f"{name} has more than {MAX_DOCUMENT_BYTES} bytes: expected a manifest")
    return body


def _blob_path(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"
