"""Pushes a file to a registry as an OCI artifact, whatever is in it: tests push broken models too.

https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md (push). The artifact is what
`modelservice model push` makes of a file: a ModelPack, whose layer has the title that `oras` writes too.
"""

import hashlib
import http.client
import io
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlencode, urljoin, urlsplit

from hack.cluster.errors import ClusterError
from hack.cluster.node import REGISTRY
from hack.cluster.ociarchive import describe_blob

ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
MODEL_TYPE = "application/vnd.cncf.model.weight.v1.raw"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
# docker pushes images in its own format.
_ACCEPTED_TYPES = f"{MANIFEST_TYPE}, application/vnd.docker.distribution.manifest.v2+json"
_TIMEOUT_SECONDS = 300.0
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
    layer, digest = Registry(f"http://{address}").push_model(repository, tag, model)
    sha256 = str(layer["digest"]).removeprefix("sha256:")
    return PushedModel(f"oci://{REGISTRY}/{repository}:{tag}", digest, sha256, int(str(layer["size"])))


def build_manifest(layer: dict[str, object]) -> bytes:
    """Return the manifest of an artifact with one layer; the same layer gives the same bytes."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": describe_blob(CONFIG_TYPE, build_config(layer)),
        "layers": [layer],
    }
    return json.dumps(manifest, sort_keys=True).encode()


def build_config(layer: dict[str, object]) -> bytes:
    """Return the config of such an artifact."""
    modelfs = {"type": "layers", "diffIds": [layer["digest"]]}
    return json.dumps(
        {"descriptor": {}, "config": {"format": "onnx"}, "modelfs": modelfs}, sort_keys=True
    ).encode()


@dataclass(frozen=True)
class Registry:
    """A registry that takes pushes without a login, by the URL under which this machine reaches it."""

    url: str
    prefix: str = ""
    """Put before every repository: empty, or a path that ends in `/`."""

    def has(self, repository: str, reference: str) -> bool:
        """Return whether a manifest is there, by tag or digest."""
        path = f"{self._path(repository)}/manifests/{reference}"
        return self._exists(path, {"Accept": _ACCEPTED_TYPES})

    def push_model(self, repository: str, tag: str, model: Path) -> tuple[dict[str, object], str]:
        """Push one ONNX file as an artifact; return its layer's descriptor and the manifest's digest.

        Raises ClusterError where there is no such file, the registry does not answer, or it refuses.
        """
        if not model.is_file():
            raise ClusterError(f"{model} is not a file: train and export the model first")
        layer = _describe_file(model)
        with model.open("rb") as stream:
            self._push_blob(repository, str(layer["digest"]), model.stat().st_size, stream)
        config = build_config(layer)
        digest = describe_blob(CONFIG_TYPE, config)["digest"]
        self._push_blob(repository, digest, len(config), io.BytesIO(config))
        manifest = build_manifest(layer)
        path = f"{self._path(repository)}/manifests/{tag}"
        self._request("PUT", path, manifest, {"Content-Type": MANIFEST_TYPE})
        return layer, f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def _push_blob(self, repository: str, digest: str, size_bytes: int, content: IO[bytes]) -> None:
        blobs = f"{self._path(repository)}/blobs"
        if self._exists(f"{blobs}/{digest}", {}):
            return
        location = self._request("POST", f"{blobs}/uploads/").get("Location", "")
        # A registry behind a forward names an address of its own: only path and query of its answer count.
        parts = urlsplit(location)
        query = "&".join(part for part in (parts.query, urlencode({"digest": digest})) if part)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
        self._request("PUT", f"{parts.path}?{query}", content, headers)

    def _path(self, repository: str) -> str:
        return f"/v2/{self.prefix}{repository}"

    def _exists(self, path: str, headers: dict[str, str]) -> bool:
        try:
            self._send("HEAD", path, None, headers)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.client.NOT_FOUND:
                    return False
                raise self._refusal("HEAD", path, error) from error
        return True

    def _request(
        self,
        method: str,
        path: str,
        data: bytes | IO[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> http.client.HTTPMessage:
        try:
            return self._send(method, path, data, headers or {})
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(method, path, error) from error

    def _send(
        self, method: str, path: str, data: bytes | IO[bytes] | None, headers: dict[str, str]
    ) -> http.client.HTTPMessage:
        request = urllib.request.Request(urljoin(self.url, path), data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
                message: http.client.HTTPMessage = answer.headers
                return message
        except urllib.error.HTTPError:
            raise
        except OSError as error:
            raise ClusterError(
                f"the registry {self.url} does not answer ({error}); is it running?"
            ) from error

    def _refusal(self, method: str, path: str, error: urllib.error.HTTPError) -> ClusterError:
        body = error.read(500).decode(errors="replace").strip()
        return ClusterError(
            f"the registry {self.url} answered {method} {path} with status {error.code}: {body}; "
            "pushes are made without a login, so name a registry that allows it"
        )


def _describe_file(model: Path) -> dict[str, object]:
    """Return the descriptor of the layer that a model file becomes."""
    with model.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {
        "mediaType": MODEL_TYPE,
        "digest": f"sha256:{digest}",
        "size": model.stat().st_size,
        "annotations": {
            "org.cncf.model.filepath": model.name,
            "org.opencontainers.image.title": model.name,
        },
    }
