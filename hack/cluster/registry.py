"""Pushes a model to a cluster's registry as an OCI artifact of one file.

https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md (push), and the image specification's
guidelines for artifacts: an empty config, an artifact type, the file's name as the layer's title.
"""

import hashlib
import http.client
import json
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hack.cluster.errors import ClusterError
from hack.cluster.node import REGISTRY
from hack.cluster.ociarchive import describe_blob

ARTIFACT_TYPE = "application/vnd.modelservice.model.v1"
MODEL_TYPE = "application/vnd.modelservice.model.layer.v1.onnx"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY_BLOB = b"{}"
TIMEOUT_SECONDS = 300.0
_REFERENCE = re.compile(r"(?:oci://)?([^/]+)/([a-z0-9]+(?:[._/-]+[a-z0-9]+)*):([\w][\w.-]{0,127})")


@dataclass(frozen=True)
class PushedModel:
    """Where a model now is, and its digests (`sha256` is that of the file, in hex)."""

    uri: str
    manifest_digest: str
    sha256: str
    size_bytes: int


def parse_reference(reference: str) -> tuple[str, str]:
    """Return repository and tag of a reference to the cluster's registry; raise ClusterError for another."""
    match = _REFERENCE.fullmatch(reference)
    if match is None or match[1] != REGISTRY:
        raise ClusterError(f"{reference!r}: expected oci://{REGISTRY}/REPOSITORY:TAG")
    return match[2], match[3]


def push_model(address: str, model: Path, reference: str) -> PushedModel:
    """Push the file `model` as `reference`; `address` is the registry's `HOST:PORT` as seen from here."""
    repository, tag = parse_reference(reference)
    if not model.is_file():
        raise ClusterError(f"{model} is not a file: train and export the model first")
    with model.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    size_bytes = model.stat().st_size
    registry = _Registry(address, repository)
    with model.open("rb") as stream:
        registry.push_blob(f"sha256:{sha256}", size_bytes, stream)
    empty = describe_blob(EMPTY_TYPE, EMPTY_BLOB)
    registry.push_blob(empty["digest"], len(EMPTY_BLOB), EMPTY_BLOB)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": empty,
        "layers": [
            {
                "mediaType": MODEL_TYPE,
                "digest": f"sha256:{sha256}",
                "size": size_bytes,
                "annotations": {"org.opencontainers.image.title": model.name},
            }
        ],
    }
    digest = registry.push_manifest(tag, json.dumps(manifest).encode())
    return PushedModel(f"oci://{REGISTRY}/{repository}:{tag}", digest, sha256, size_bytes)


class _Registry:
    """One repository of a registry that speaks plain HTTP."""

    def __init__(self, address: str, repository: str) -> None:
        self._address = address
        self._path = f"/v2/{repository}"

    def push_blob(self, digest: str, size_bytes: int, content: bytes | IO[bytes]) -> None:
        if self._request("HEAD", f"{self._path}/blobs/{digest}", accept=(200, 404)).status == 200:
            return
        started = self._request("POST", f"{self._path}/blobs/uploads/", accept=(202,))
        # The registry names its own address, which the host cannot reach: only path and query count.
        location = urllib.parse.urlsplit(started.headers["Location"])
        query = "&".join(part for part in (location.query, f"digest={digest}") if part)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
        self._request("PUT", f"{location.path}?{query}", content, headers, accept=(201,))

    def push_manifest(self, tag: str, manifest: bytes) -> str:
        headers = {"Content-Type": MANIFEST_TYPE}
        self._request("PUT", f"{self._path}/manifests/{tag}", manifest, headers, accept=(201,))
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def _request(
        self,
        method: str,
        target: str,
        body: bytes | IO[bytes] | None = None,
        headers: dict[str, str] | None = None,
        *,
        accept: tuple[int, ...],
    ) -> http.client.HTTPResponse:
        host, _, port = self._address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, target, body, headers or {})
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        finally:
            connection.close()
        if response.status not in accept:
            raise ClusterError(f"registry: {method} {target} answered {response.status}: {text[:500]}")
        return response
