"""A model's folder as a container image that nodes mount as a volume: one layer, for every platform.

Only real images are mounted by containerd: a config with the digests of layers, and layers that are archives.
An image of one platform is unpacked on that platform alone, so there is one for each, of the same layer.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from modelservice_pipeline.oci.content import (
    IMAGE_CONFIG_TYPE,
    MANIFEST_TYPE,
    Blob,
    Content,
    blob_of_bytes,
    build_content,
    encode,
)
from modelservice_pipeline.oci.tar import Member, tar_stream
from modelservice_pipeline.package.description import Description
from modelservice_pipeline.package.folder import MODEL_FILE, ModelFolder, is_generative
from modelservice_pipeline.package.modelpack import file_blob

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
PLATFORMS = ("amd64", "arm64")
MODEL_LABEL, SHA256_LABEL = "dev.modelservice.model.path", "dev.modelservice.model.sha256"
TASK_LABEL, GENERATION = "dev.modelservice.model.task", "text-generation"
_ROOT = "models"
_DEFAULT_VERSION = 1


def build_image(folder: ModelFolder, description: Description) -> Content:
    """Return the image of a folder: the model is `models/VERSION/model.onnx`. Raises PipelineError."""
    prefix = f"{_ROOT}/{folder.version or _DEFAULT_VERSION}"
    names = {name: f"{prefix}/{name}" for name in folder.files}
    generates = is_generative(folder.model, folder.files)
    if not generates:  # else a file beside it names it
        names[folder.model] = f"{prefix}/{_renamed(folder.model)}"
    files = {name: file_blob(path, "", {}) for name, path in folder.files.items()}
    members = [(names[name], blob.size_bytes, blob.read) for name, blob in files.items()]
    layer = _layer(members)
    labels = {
        **description.annotations(),
        MODEL_LABEL: names[folder.model],
        SHA256_LABEL: files[folder.model].digest.removeprefix("sha256:"),
        **({TASK_LABEL: GENERATION} if generates else {}),
    }
    return build_content(_manifests(layer, labels))


def _renamed(model: str) -> str:
    """The model is called the same in every image, unless that would hide that it is encrypted."""
    if model.endswith(".age"):
        return model
    parent = model.rpartition("/")[0]
    return f"{parent}/{MODEL_FILE}" if parent else MODEL_FILE


def _layer(members: list[Member]) -> Blob:
    def read() -> Iterator[bytes]:
        return tar_stream(members)

    digest, size_bytes = hashlib.sha256(), 0
    for chunk in read():
        digest.update(chunk)
        size_bytes += len(chunk)
    return Blob(LAYER_TYPE, f"sha256:{digest.hexdigest()}", size_bytes, read)


def _manifests(layer: Blob, labels: dict[str, str]) -> Iterable[tuple[dict[str, Any], tuple[Blob, ...]]]:
    for architecture in PLATFORMS:
        config = blob_of_bytes(
            IMAGE_CONFIG_TYPE,
            encode(
                {
                    "architecture": architecture,
                    "os": "linux",
                    "config": {"Labels": labels},
                    "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
                    # Tools refuse images whose history does not account for their layers.
                    "history": [{"created_by": "modelservice model package"}],
                }
            ),
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
            "platform": {"os": "linux", "architecture": architecture},
        }
        yield manifest, (config, layer)
