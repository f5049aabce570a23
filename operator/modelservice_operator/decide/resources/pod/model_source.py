"""How the model comes into the pod: fetched into an emptyDir, or mounted from a claim or a ConfigMap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.facts.text.quantity import canonical_quantity, parse_quantity

if TYPE_CHECKING:
    from modelservice_operator.api import ModelSpec

MODEL_DIRECTORY = "/mnt/models"
CREDENTIALS_DIRECTORY = "/mnt/credentials"
CACHE_DIRECTORY = "/mnt/cache"
DECRYPTION_DIRECTORY = "/mnt/decryption"
ENCRYPTED_DIRECTORY = "/mnt/encrypted"
IMAGE_PATH = "models"
"""Where KServe's modelcars have the model."""
PROOF_FILES = ("proof.json", "proof.npz")
"""What lies beside a model that is verified."""
DEFAULT_MAX_SIZE = "10Gi"
_VOLUME_SLACK_BYTES = 16 * 1024**2
"""The kubelet evicts a pod whose volume grows over its limit: the fetcher's own cap must come first."""
_READABLE_BY_ALL = 0o444
"""The containers run as a user that is not root, and without fsGroup (its range is the cluster's choice)."""


class ModelSource(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a pod that bring the model.

    `path` is what the server opens: a file, or a directory with one model in it. `fetch_args` are those of
    the init container, None where there is nothing to do before the server starts.
    """

    path: str
    volumes: list[dict[str, Any]]
    fetch_args: list[str] | None
    fetch_mounts: list[dict[str, Any]] = msgspec.field(default_factory=list)
    security_context: dict[str, Any] = msgspec.field(default_factory=dict)
    """What the pod's own security context has to add."""
    memory_bytes: int = 0
    """What the files take of the pod's memory, which counts as the fetcher's, who writes them."""


def is_downloaded(storage_uri: str) -> bool:
    """Whether the model comes over the network by the fetcher, not by a mount."""
    return not storage_uri.startswith(("pvc://", "configmap://"))


def build_model_source(model: ModelSpec, *, generative: bool = False) -> ModelSource:
    """Return how this model comes into a pod; a generative one has further files beside it."""
    if model.image_volume is not None:
        return _image_volume(model, model.image_volume.path or IMAGE_PATH)
    if is_downloaded(model.storage_uri):
        return _downloaded(model, generative=generative)
    return _mounted(model)


def model_mount(*, read_only: bool) -> dict[str, Any]:
    """Return the mount of the model's volume; writable only in the fetcher."""
    mount: dict[str, Any] = {"name": "model", "mountPath": MODEL_DIRECTORY}
    return {**mount, "readOnly": True} if read_only else mount


class _Part(msgspec.Struct, frozen=True):
    """What an option of a download adds to the fetcher."""

    args: list[str] = msgspec.field(default_factory=list)
    volumes: list[dict[str, Any]] = msgspec.field(default_factory=list)
    mounts: list[dict[str, Any]] = msgspec.field(default_factory=list)


def _downloaded(model: ModelSpec, *, generative: bool) -> ModelSource:
    max_bytes = int(parse_quantity(model.max_size or DEFAULT_MAX_SIZE))
    medium = {"medium": "Memory"} if model.decryption else {}
    volume = {"name": "model", "emptyDir": {**medium, "sizeLimit": size_limit(max_bytes)}}
    args = ["fetch", "--uri", model.storage_uri, "--destination", MODEL_DIRECTORY]
    args += ["--max-bytes", str(max_bytes), *(["--sha256", model.sha256] if model.sha256 else [])]
    args += ["--with-proof"] if model.verify else []
    args += ["--generative"] if generative else []
    parts = [_credentials(model), _decryption(model, max_bytes), _cache(model)]
    group = model.cache.fs_group if model.cache else None
    return ModelSource(
        path=MODEL_DIRECTORY,
        volumes=[volume, *(one for part in parts for one in part.volumes)],
        fetch_args=[*args, *(arg for part in parts for arg in part.args)],
        fetch_mounts=[model_mount(read_only=False), *(one for part in parts for one in part.mounts)],
        security_context={} if group is None else _owned_by(group),
        memory_bytes=max_bytes + _VOLUME_SLACK_BYTES if model.decryption else 0,
    )


def _credentials(model: ModelSpec) -> _Part:
    if model.credentials is None:
        return _Part()
    return _Part(
        ["--credentials-dir", CREDENTIALS_DIRECTORY],
        [secret_volume("credentials", model.credentials.secret_name)],
        [{"name": "credentials", "mountPath": CREDENTIALS_DIRECTORY, "readOnly": True}],
    )


def _decryption(model: ModelSpec, max_bytes: int) -> _Part:
    if model.decryption is None:
        return _Part()
    scratch = {"name": "encrypted", "emptyDir": {"sizeLimit": size_limit(max_bytes)}}
    return _Part(
        ["--decryption-dir", DECRYPTION_DIRECTORY, "--scratch-dir", ENCRYPTED_DIRECTORY],
        [secret_volume("decryption", model.decryption.secret_name), scratch],
        [
            {"name": "decryption", "mountPath": DECRYPTION_DIRECTORY, "readOnly": True},
            {"name": "encrypted", "mountPath": ENCRYPTED_DIRECTORY},
        ],
    )


def _cache(model: ModelSpec) -> _Part:
    cache = model.cache
    if cache is None:
        return _Part()
    bound = ["--cache-max-bytes", str(int(parse_quantity(cache.max_size)))] if cache.max_size else []
    return _Part(
        ["--cache-dir", CACHE_DIRECTORY, *bound],
        [{"name": "cache", "persistentVolumeClaim": {"claimName": cache.claim_name}}],
        [{"name": "cache", "mountPath": CACHE_DIRECTORY}],
    )


def secret_volume(volume: str, name: str) -> dict[str, Any]:
    """Return a volume with the files of a Secret."""
    return {"name": volume, "secret": {"secretName": name, "defaultMode": _READABLE_BY_ALL}}


def _owned_by(group: int) -> dict[str, Any]:
    """The volume may be large: its files are changed only where the top is not the group's yet."""
    return {"fsGroup": group, "fsGroupChangePolicy": "OnRootMismatch"}


def size_limit(max_bytes: int) -> str:
    """Return the limit of a volume for so many bytes."""
    kibibytes = -(-(max_bytes + _VOLUME_SLACK_BYTES) // 1024)
    return canonical_quantity(f"{kibibytes}Ki")


def _mounted(model: ModelSpec) -> ModelSource:
    scheme, _, rest = model.storage_uri.partition("://")
    name, _, path = rest.partition("/")
    path = path.rstrip("/")
    if scheme == "pvc":
        volume: dict[str, Any] = {"persistentVolumeClaim": {"claimName": name, "readOnly": True}}
        if model.fs_group is not None:
            # The kubelet changes no file of a volume that is read-only; the mount in the pod still is.
            del volume["persistentVolumeClaim"]["readOnly"]
    else:
        samples = [model.samples.file] if model.samples and model.samples.file else []
        proof = PROOF_FILES if model.verify else ()
        items = [{"key": key, "path": key} for key in dict.fromkeys([path, *samples, *proof])]
        volume = {"configMap": {"name": name, "items": items}}
    return _in_place(model, volume, path)


def _image_volume(model: ModelSpec, path: str) -> ModelSource:
    image = {"reference": model.storage_uri.removeprefix("oci://")}
    return _in_place(model, {"image": image}, path)


def _in_place(model: ModelSpec, volume: dict[str, Any], path: str) -> ModelSource:
    """The file is served from where it is; it is looked at before only where its digest is known."""
    verify = ["fetch", "--uri", f"file://{MODEL_DIRECTORY}/{path}", "--verify-only", "--sha256"]
    return ModelSource(
        path=f"{MODEL_DIRECTORY}/{path}",
        volumes=[{"name": "model", **volume}],
        fetch_args=[*verify, model.sha256] if model.sha256 else None,
        fetch_mounts=[model_mount(read_only=True)],
        security_context=_groups(model),
    )


def _groups(model: ModelSpec) -> dict[str, Any]:
    context = {} if model.fs_group is None else _owned_by(model.fs_group)
    if model.supplemental_groups:
        context["supplementalGroups"] = list(model.supplemental_groups)
    return context
