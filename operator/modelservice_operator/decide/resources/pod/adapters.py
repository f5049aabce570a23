"""How adapters come into a pod: fetched beside the model, or mounted from a claim or a ConfigMap. Pure."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.resources.pod.model_source import is_downloaded, secret_volume, size_limit
from modelservice_operator.facts.text.quantity import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelservice_operator.api import Adapter, Generation

ADAPTERS_DIRECTORY = "/mnt/adapters"
VOLUMES_DIRECTORY = "/mnt/adapter-volumes"
CREDENTIALS_DIRECTORY = "/mnt/adapter-credentials"
DEFAULT_MAX_SIZE = "1Gi"
_VOLUME = "adapters"


@dataclass(slots=True)
class AdapterParts:
    """What adapters add to a pod, to its server and to its fetcher."""

    volumes: list[dict[str, Any]] = field(default_factory=list)
    server_args: list[str] = field(default_factory=list)
    server_mounts: list[dict[str, Any]] = field(default_factory=list)
    fetch_args: list[str] = field(default_factory=list)
    fetch_mounts: list[dict[str, Any]] = field(default_factory=list)


def build_adapters(generation: Generation | None, model: str) -> AdapterParts:
    """Return what the adapters of the model of this name add; nothing where there are none."""
    parts = AdapterParts()
    adapters = () if generation is None else generation.adapters
    downloaded = [one for one in adapters if is_downloaded(one.storage_uri)]
    if downloaded:
        _add_folder(parts, downloaded)
    for number, adapter in enumerate(adapters):
        path = (_download if adapter in downloaded else _mount)(parts, adapter, number)
        parts.server_args += ["--adapter", f"{model}:{adapter.name}={path}"]
        if adapter.sha256 is not None:
            parts.fetch_args += ["--adapter-sha256", f"{adapter.name}={adapter.sha256}"]
    return parts


def adapter_uris(args: Sequence[str]) -> list[str]:
    """Return where a fetcher with these arguments finds adapters."""
    found = [value.partition("://") for flag, value in pairwise(args) if flag == "--adapter"]
    return [f"{target.rpartition('=')[2]}://{rest}" for target, _, rest in found]


def _add_folder(parts: AdapterParts, adapters: Sequence[Adapter]) -> None:
    size = size_limit(sum(map(_max_bytes, adapters)))
    mount = {"name": _VOLUME, "mountPath": ADAPTERS_DIRECTORY}
    parts.volumes.append({"name": _VOLUME, "emptyDir": {"sizeLimit": size}})
    parts.fetch_mounts.append(mount)
    parts.server_mounts.append({**mount, "readOnly": True})


def _max_bytes(adapter: Adapter) -> int:
    return int(parse_quantity(adapter.max_size or DEFAULT_MAX_SIZE))


def _download(parts: AdapterParts, adapter: Adapter, number: int) -> str:
    uri = adapter.storage_uri
    file = adapter.file or posixpath.basename(uri.partition("?")[0])
    parts.fetch_args += ["--adapter", f"{adapter.name}/{file}={uri}"]
    parts.fetch_args += ["--adapter-max-bytes", f"{adapter.name}={_max_bytes(adapter)}"]
    if adapter.credentials is not None:
        volume, path = f"adapter-credentials-{number}", f"{CREDENTIALS_DIRECTORY}/{adapter.name}"
        parts.fetch_args += ["--adapter-credentials-dir", f"{adapter.name}={path}"]
        parts.volumes.append(secret_volume(volume, adapter.credentials.secret_name))
        parts.fetch_mounts.append({"name": volume, "mountPath": path, "readOnly": True})
    return f"{ADAPTERS_DIRECTORY}/{adapter.name}/{file}"


def _mount(parts: AdapterParts, adapter: Adapter, number: int) -> str:
    """The file stays where it is; it is looked at before only where its digest is known."""
    scheme, _, rest = adapter.storage_uri.partition("://")
    claim, _, path = rest.partition("/")
    if scheme == "pvc":
        path = posixpath.join(path, adapter.file or "").rstrip("/")
        source: dict[str, Any] = {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    else:
        path = adapter.file or path
        source = {"configMap": {"name": claim, "items": [{"key": path, "path": path}]}}
    volume = f"adapter-{number}"
    mount = {"name": volume, "mountPath": f"{VOLUMES_DIRECTORY}/{adapter.name}", "readOnly": True}
    parts.volumes.append({"name": volume, **source})
    parts.server_mounts.append(mount)
    file = f"{mount['mountPath']}/{path}"
    if adapter.sha256 is not None:
        parts.fetch_args += ["--adapter", f"{adapter.name}/{posixpath.basename(path)}=file://{file}"]
        parts.fetch_mounts.append(mount)
    return file
