"""Push a model to a registry: the OCI distribution protocol 1.1, as much of it as one file needs."""

import hashlib
import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin, urlsplit

from hack.demo.errors import DemoError

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE = "application/vnd.modelservice.model.v1"
# Image specification 1.1, "guidance for an empty descriptor".
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"
MODEL_TYPE = "application/onnx"
# docker pushes images in its own format.
_ACCEPTED_TYPES = f"{MANIFEST_TYPE}, application/vnd.docker.distribution.manifest.v2+json"
_TIMEOUT_SECONDS = 60


def digest_of(data: bytes) -> str:
    """Return `sha256:<hex>` of the bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def build_manifest(model: bytes) -> bytes:
    """Return the manifest of an artifact that holds one ONNX file, in the form `oras push` gives it."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": {"mediaType": EMPTY_TYPE, "digest": digest_of(EMPTY), "size": len(EMPTY)},
        "layers": [
            {
                "mediaType": MODEL_TYPE,
                "digest": digest_of(model),
                "size": len(model),
                "annotations": {"org.opencontainers.image.title": "model.onnx"},
            }
        ],
    }
    return json.dumps(manifest, sort_keys=True).encode()


@dataclass(frozen=True)
class Registry:
    """A registry that takes pushes without a login, by the URL under which this machine reaches it."""

    url: str
    prefix: str = ""
    """Put before every repository: empty, or a path that ends in `/`."""

    def has(self, repository: str, reference: str) -> bool:
        """Return whether a manifest is there, by tag or digest."""
        try:
            path = f"/v2/{self.prefix}{repository}/manifests/{reference}"
            self._request("HEAD", path, headers={"Accept": _ACCEPTED_TYPES})
        except urllib.error.HTTPError as error:
            if error.code == http.client.NOT_FOUND:
                return False
            raise self._refused("HEAD", error) from error
        return True

    def push_model(self, repository: str, tag: str, model: bytes) -> str:
        """Push one ONNX file as an artifact and return the manifest's digest.

        Raises:
            DemoError: the registry does not answer, or refuses.

        """
        manifest = build_manifest(model)
        try:
            for blob in (EMPTY, model):
                self._push_blob(repository, blob)
            headers = {"Content-Type": MANIFEST_TYPE}
            self._request("PUT", f"/v2/{self.prefix}{repository}/manifests/{tag}", manifest, headers)
        except urllib.error.HTTPError as error:
            raise self._refused("a push", error) from error
        return digest_of(manifest)

    def _push_blob(self, repository: str, blob: bytes) -> None:
        location = self._request("POST", f"/v2/{self.prefix}{repository}/blobs/uploads/").get("Location", "")
        # A registry behind a forward may name itself differently: only the path is taken from its answer.
        parts = urlsplit(location)
        query = "&".join(part for part in (parts.query, urlencode({"digest": digest_of(blob)})) if part)
        self._request(
            "PUT", f"{parts.path}?{query}", blob, headers={"Content-Type": "application/octet-stream"}
        )

    def _request(
        self, method: str, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> http.client.HTTPMessage:
        request = urllib.request.Request(urljoin(self.url, path), data, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
                message: http.client.HTTPMessage = answer.headers
                return message
        except urllib.error.HTTPError:
            raise
        except OSError as error:
            raise DemoError(f"the registry {self.url} does not answer ({error}); is it running?") from error

    def _refused(self, what: str, error: urllib.error.HTTPError) -> DemoError:
        body = error.read(500).decode(errors="replace")
        return DemoError(
            f"the registry {self.url} refused {what} with status {error.code}: {body.strip()}; "
            "the demo pushes without a login, so name one that allows it"
        )
