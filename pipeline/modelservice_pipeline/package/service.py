"""The ModelService of a pushed model: by digest, with the SHA-256 of its file, checked as the API does."""

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelservice_operator.api import InvalidSpec, parse_model_service
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.reference import Reference
from modelservice_pipeline.package.edit import edit_model
from modelservice_pipeline.package.files import PackedModel
from modelservice_pipeline.package.folder import ADAPTER_SUFFIX, read_text

API_VERSION, KIND = "modelservice.dev/v1alpha1", "ModelService"
_MAX_NAME = 52
_NAMESPACE = re.compile("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # Kubernetes judges it, not the API's models
_OURS = ("storageUri", "sha256", "imageVolume")
"""Fields of `spec.model` that name the model, which change with it."""


@dataclass(frozen=True)
class ServiceOptions:
    """What the flags say of the ModelService; what is None is left out."""

    name: str | None = None
    namespace: str | None = None
    replicas: int | None = None
    secret: str | None = None
    cluster_registry: str | None = None
    verify: bool = False


def service_options(arguments: argparse.Namespace, namespace: str | None) -> ServiceOptions:
    """Return what the flags say."""
    return ServiceOptions(
        arguments.name,
        namespace,
        arguments.replicas,
        arguments.pull_secret,
        arguments.cluster_registry,
        arguments.verify,
    )


def build_service(reference: Reference, model: PackedModel, options: ServiceOptions) -> dict[str, Any]:
    """Return the manifest. Raises PipelineError, with each field that the API would refuse."""
    metadata = {"name": options.name or default_name(reference)}
    if options.namespace:
        if _NAMESPACE.fullmatch(options.namespace) is None:
            raise PipelineError(f"metadata.namespace: {options.namespace!r} is no name of a namespace")
        metadata["namespace"] = options.namespace
    spec: dict[str, Any] = {"model": _model_fields(reference, model, options)}
    if options.secret and model.is_image:
        spec["imagePullSecrets"] = [{"name": options.secret}]
    elif options.secret:
        spec["model"]["credentials"] = {"secretName": options.secret}
    if model.generates:
        spec["generation"] = _generation({}, model, spec["model"], None)
    if options.replicas is not None:
        spec["replicas"] = options.replicas
    return _checked({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec})


def update_service(
    manifest: Mapping[str, Any], reference: Reference, model: PackedModel, options: ServiceOptions
) -> dict[str, Any]:
    """Return a manifest with another model; what else stands in it stays. Raises PipelineError."""
    spec = manifest.get("spec")
    if manifest.get("kind") != KIND or not isinstance(spec, dict) or not isinstance(spec.get("model"), dict):
        raise PipelineError(f"expected a {KIND} with spec.model, to update the model in it")
    kept = {key: value for key, value in spec["model"].items() if key not in _OURS}
    named = _model_fields(reference, model, options)
    changed = {**spec, "model": {**named, **kept}}
    if model.generates:
        settings = {} if spec.get("generation") is None else spec["generation"]
        before = spec["model"].get("storageUri")
        changed["generation"] = _generation(settings, model, changed["model"], before)
    return _checked({**manifest, "spec": changed})


def write_service(
    path: Path, reference: Reference, model: PackedModel, options: ServiceOptions
) -> dict[str, Any]:
    """Write the manifest into a file, or update the one that is there. Raises PipelineError."""
    manifest, text = _updated(path, reference, model, options) if path.exists() else (None, None)
    if manifest is None:
        manifest = build_service(reference, model, options)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or render_service(manifest), encoding="utf-8")
    except OSError as error:
        raise PipelineError(f"cannot write {path}: {error.strerror}") from None
    return manifest


def _updated(
    path: Path, reference: Reference, model: PackedModel, options: ServiceOptions
) -> tuple[dict[str, Any], str | None]:
    """Return the manifest in a file with another model, and its text where its lines could be kept."""
    text = read_text(path)
    try:
        before = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PipelineError(f"{path} is not YAML of one object: {error}") from None
    if not isinstance(before, dict):
        raise PipelineError(f"{path} is not YAML of one object: name another file, or correct it")
    manifest = update_service(before, reference, model, options)
    return manifest, edit_model(text, manifest)


def render_service(manifest: Mapping[str, Any]) -> str:
    """Return the YAML of a manifest."""
    return yaml.safe_dump(dict(manifest), sort_keys=False, allow_unicode=True)


def default_name(reference: Reference) -> str:
    """Return a name for the ModelService of a repository."""
    return name_of(reference.repository.rpartition("/")[2])


def name_of(text: str) -> str:
    """Return the name that the API takes, and a repository too, nearest to a text."""
    name = re.sub("[^a-z0-9]+", "-", text.lower())[:_MAX_NAME].strip("-")
    return name if name[:1].isalpha() else f"model-{name}"[:_MAX_NAME].rstrip("-")


def _model_fields(reference: Reference, model: PackedModel, options: ServiceOptions) -> dict[str, Any]:
    where = str(reference)
    if options.cluster_registry:
        where = f"{options.cluster_registry.rstrip('/')}/{where.partition('/')[2]}"
    fields: dict[str, Any] = {"storageUri": f"oci://{where}", "sha256": model.sha256}
    if model.is_image:
        fields["imageVolume"] = {"path": model.path}
    return fields | ({"verify": True} if options.verify else {})


def _generation(settings: Any, model: PackedModel, fields: Mapping[str, Any], before: str | None) -> Any:
    """Return settings that name the adapters beside the model too; `fields` are those of `spec.model`.

    Those that are named already and came from the artifact `before` move with the model; others stay.
    """
    listed = settings.get("adapters") or [] if isinstance(settings, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        return settings  # the API says what is wrong with it
    source = {key: fields[key] for key in ("storageUri", "credentials") if key in fields}
    where = source["storageUri"]

    def move(one: dict[str, Any]) -> dict[str, Any]:
        if one.get("storageUri") != before or one.get("file") not in model.adapters:
            return one
        return {**one, "storageUri": where, "sha256": model.adapters[one["file"]]}

    adapters = [move(one) for one in listed]
    files = {one.get("file") for one in adapters if one.get("storageUri") == where}
    names = {one.get("name") for one in adapters}
    for file, sha256 in model.adapters.items():
        name = file.removesuffix(ADAPTER_SUFFIX)
        if file not in files and name not in names:
            adapters.append({"name": name, **source, "file": file, "sha256": sha256})
    return {**settings, "adapters": adapters} if adapters else settings


def _checked(manifest: dict[str, Any]) -> dict[str, Any]:
    try:
        parse_model_service(manifest, strict=True)
    except InvalidSpec as error:
        raise PipelineError(f"the ModelService is not valid: {error}") from None
    return manifest
