"""Debian's docker-registry on loopback, and what is pushed to it."""

import hashlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from tests.integration.fetch.fetch_servers import TlsFiles, require_program, run_server
from tests.support.ports import free_port

TITLE = "org.opencontainers.image.title"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class RegistryServer:
    """A running registry; all of one test run share their storage, so one push serves every kind."""

    port: int
    storage: Path

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def push(self, repository: str, tag: str, *files: tuple[str | None, bytes], **changes: object) -> str:
        """Push files with their titles, if any, as an artifact; returns the manifest's digest."""
        layers = []
        for title, data in files:
            layer = {
                "mediaType": "application/octet-stream",
                "digest": self._push_blob(repository, data),
                "size": len(data),
                "annotations": {TITLE: title} if title else None,
            }
            layers.append({**layer, **changes})
        config = {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": self._push_blob(repository, b"{}"),
            "size": 2,
        }
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        return self.push_manifest(repository, tag, MANIFEST, manifest)

    def push_manifest(self, repository: str, tag: str, media_type: str, manifest: object) -> str:
        body = json.dumps(manifest).encode()
        self._send("PUT", f"/v2/{repository}/manifests/{tag}", body, {"Content-Type": media_type})
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def size_bytes(self, digest: str) -> int:
        """Size of a stored blob or manifest."""
        path = self.storage / f"docker/registry/v2/blobs/sha256/{digest[7:9]}/{digest[7:]}/data"
        return path.stat().st_size

    def spoil(self, data: bytes) -> None:
        """Change a stored blob behind the registry's back."""
        digest = hashlib.sha256(data).hexdigest()
        path = self.storage / f"docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data"
        path.write_bytes(b"\x08\x08evil" + data[6:])

    def _push_blob(self, repository: str, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        location = self._send("POST", f"/v2/{repository}/blobs/uploads/", b"", {})
        target = location.split(f":{self.port}", 1)[1]
        self._send("PUT", f"{target}&digest={digest}", data, {"Content-Type": "application/octet-stream"})
        return digest

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read()
            assert response.status in (201, 202), text
            return response.getheader("Location", "")
        finally:
            connection.close()


def tls_settings(tls: TlsFiles) -> dict[str, object]:
    return {"tls": {"certificate": str(tls.certificate), "key": str(tls.key)}}


@dataclass
class RegistryStarter:
    """Starts registries that share one storage directory."""

    directory: Path
    storage: Path = field(init=False)

    def __post_init__(self) -> None:
        self.storage = self.directory / "storage"

    def run(
        self, kind: str, http_settings: dict[str, object], auth: dict[str, object]
    ) -> Iterator[RegistryServer]:
        program = require_program("docker-registry", "docker-registry")
        port = free_port()
        config = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(self.storage)}},
            "http": {"addr": f"127.0.0.1:{port}", "secret": "test", **http_settings},
            **({"auth": auth} if auth else {}),
        }
        path = self.directory / f"{kind}.yaml"
        path.write_text(yaml.safe_dump(config))
        for _ in run_server([program, "serve", str(path)], port, self.directory / f"{kind}.log"):
            yield RegistryServer(port, self.storage)
