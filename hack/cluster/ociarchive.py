"""Writes OCI image archives by hand: a tar of an image layout with one uncompressed layer.

https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_oci_archive(archive: Path, name: str, layer: Path, config: Mapping[str, Any]) -> None:
    """Write the image `name` with the file system of the tar `layer` and the runtime `config` to `archive`.

    `config` has the keys of the specification's `config` object, such as `Env` and `Cmd`.
    """
    layer_digest = _sha256_of(layer)
    image_config = _encode(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
            # buildah refuses to build on an image whose history does not account for its layers.
            "history": [{"created_by": f"hack/cluster: {name}"}],
        }
    )
    manifest = _encode(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": describe_blob("application/vnd.oci.image.config.v1+json", image_config),
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": layer_digest,
                    "size": layer.stat().st_size,
                }
            ],
        }
    )
    entry = describe_blob("application/vnd.oci.image.manifest.v1+json", manifest)
    # The first annotation is what buildah reads, the second what containerd reads.
    entry["annotations"] = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", _encode({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _encode({"schemaVersion": 2, "manifests": [entry]}))
        for blob in (image_config, manifest):
            _add(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        tar.add(layer, f"blobs/sha256/{layer_digest.removeprefix('sha256:')}")


def describe_blob(media_type: str, blob: bytes) -> dict[str, Any]:
    """Return the descriptor (media type, digest, size in bytes) of a blob."""
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    return {"mediaType": media_type, "digest": digest, "size": len(blob)}


def _encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
