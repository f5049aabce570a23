"""How the rows come into the Job's pod: fetched, mounted, or from where the model is. Pure."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.api import EnvVar
from modelservice_operator.decide.resources.pod.model_source import (
    CREDENTIALS_DIRECTORY,
    is_downloaded,
    secret_volume,
    size_limit,
)
from modelservice_operator.decide.resources.pod.server import variable
from modelservice_operator.facts.text.quantity import parse_quantity

if TYPE_CHECKING:
    from modelservice_operator.api import EvaluationData
    from modelservice_operator.decide.revision import Snapshot

Object = dict[str, Any]

DATA_DIRECTORY = "/mnt/data"
FETCH_DATA_CONTAINER = "fetch-data"
DEFAULT_MAX_SIZE = "1Gi"
_CREDENTIALS = "data-credentials"


class DataParts(msgspec.Struct, frozen=True, kw_only=True):
    """How the rows come: `path` of the file (without a folder: beside the model), and what mounts it."""

    path: str
    mounts: list[Object] = msgspec.field(default_factory=list)
    volumes: list[Object] = msgspec.field(default_factory=list)
    fetch_args: list[str] | None = None
    """Arguments that fetch it; None where nothing is downloaded."""
    fetch_mounts: list[Object] = msgspec.field(default_factory=list)
    fetch_env: list[Object] = msgspec.field(default_factory=list)


def build_data_source(data: EvaluationData, snapshot: Snapshot) -> DataParts:
    """Return how the rows come into a pod that has the model of this revision."""
    of_model = snapshot.inputs.get("model", {})
    uri = data.storage_uri or str(of_model.get("storageUri"))
    scheme = uri.partition("://")[0]
    if data.storage_uri is None and (scheme == "pvc" or "imageVolume" in of_model):
        return DataParts(path=data.file or "")
    if not is_downloaded(uri):
        return _mounted(data, uri)
    credentials = data.credentials.secret_name if data.credentials else None
    if data.storage_uri is None:
        credentials = (of_model.get("credentials") or {}).get("secretName")
    return _downloaded(data, uri, credentials, snapshot)


def _mounted(data: EvaluationData, uri: str) -> DataParts:
    scheme, _, rest = uri.partition("://")
    name, _, path = rest.partition("/")
    if scheme == "pvc":
        volume: Object = {"persistentVolumeClaim": {"claimName": name, "readOnly": True}}
        file = posixpath.join(path, data.file) if data.file and data.storage_uri else path
    else:
        file = data.file or path
        volume = {"configMap": {"name": name, "items": [{"key": file, "path": file}]}}
    return DataParts(
        path=f"{DATA_DIRECTORY}/{file}", mounts=[_mount(read_only=True)], volumes=[{"name": "data", **volume}]
    )


def _downloaded(data: EvaluationData, uri: str, credentials: str | None, snapshot: Snapshot) -> DataParts:
    file = data.file or posixpath.basename(uri.partition("?")[0])
    max_bytes = int(parse_quantity(data.max_size or DEFAULT_MAX_SIZE))
    args = ["fetch", "--uri", uri, "--destination", DATA_DIRECTORY, "--file", file]
    args += ["--max-bytes", str(max_bytes), *(["--sha256", data.sha256] if data.sha256 else [])]
    volumes: list[Object] = [{"name": "data", "emptyDir": {"sizeLimit": size_limit(max_bytes)}}]
    mounts = [_mount(read_only=False)]
    if credentials is not None:
        args += ["--credentials-dir", CREDENTIALS_DIRECTORY]
        volumes.append(secret_volume(_CREDENTIALS, credentials))
        mounts.append({"name": _CREDENTIALS, "mountPath": CREDENTIALS_DIRECTORY, "readOnly": True})
    if snapshot.inputs.get("serviceAccountName") and uri.startswith("gs://"):
        args.append("--pod-identity")
    variables = [EnvVar.model_validate(one) for one in snapshot.inputs.get("env", ())]
    return DataParts(
        path=f"{DATA_DIRECTORY}/{file}",
        mounts=[_mount(read_only=True)],
        volumes=volumes,
        fetch_args=args,
        fetch_mounts=mounts,
        fetch_env=[variable(one) for one in variables if one.is_for_fetcher],
    )


def _mount(*, read_only: bool) -> Object:
    mount: Object = {"name": "data", "mountPath": DATA_DIRECTORY}
    return {**mount, "readOnly": True} if read_only else mount
