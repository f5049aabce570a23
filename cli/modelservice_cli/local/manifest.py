"""A ModelService manifest on disk, reduced to what a server without a cluster needs."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelservice_cli.documents import read_documents, the_only
from modelservice_cli.errors import CommandError
from modelservice_operator.api import (
    InvalidSpec,
    ModelService,
    ModelServiceSpec,
    parse_model_service,
    parse_quantity,
)
from modelservice_operator.decide.resources.pod.accelerator import accelerator_args, device_args
from modelservice_operator.decide.resources.pod.server import (
    batching_args,
    generation_args,
    sample_args,
    server_args,
)
from modelservice_operator.decide.resources.pod.sizing import gpu_providers
from modelservice_runtime.settings.accelerators import add_accelerator_arguments
from modelservice_runtime.settings.serve import add_serve_arguments

# Parts of the spec that are read here; only a cluster can act on all others.
_SERVED = frozenset({"batching", "env", "generation", "gpu", "model", "runtime", "server"})


@dataclass(frozen=True, slots=True)
class LocalService:
    """What to serve, and how; None where the manifest leaves the choice to the server."""

    name: str
    """The model's, in the protocols."""
    storage_uri: str
    sha256: str | None
    is_encrypted: bool
    is_generative: bool
    max_size_bytes: int | None
    version: str | None
    execution_providers: tuple[str, ...]
    intra_op_threads: int | None
    flags: Mapping[str, object]
    """What the options of CUDA, TensorRT, batching, samples and the server are, by the names of argparse."""
    environment: Mapping[str, str]
    ignored_fields: tuple[str, ...]


def read_manifest(path: str) -> LocalService:
    """Read the one ModelService in a YAML file (`-`: standard input). Raises CommandError."""
    service = the_only(read_documents(path, "ModelService"), path, "ModelService")
    try:
        return _to_local_service(parse_model_service(service, strict=True), service["spec"])
    except InvalidSpec as error:
        raise CommandError(f"{path}: {error}") from None


def _to_local_service(service: ModelService, raw_spec: dict[str, Any]) -> LocalService:
    spec = service.spec
    default_providers = ("CPU",) if spec.gpu is None else gpu_providers(spec.gpu)
    providers = tuple(spec.runtime.execution_providers or default_providers)
    max_size = spec.model.max_size
    return LocalService(
        name=spec.model.name or service.metadata.name,
        storage_uri=spec.model.storage_uri,
        sha256=spec.model.sha256,
        is_encrypted=spec.model.decryption is not None,
        is_generative=spec.generation is not None,
        max_size_bytes=None if max_size is None else int(parse_quantity(max_size)),
        version=spec.model.version,
        execution_providers=providers,
        intra_op_threads=spec.runtime.intra_op_threads,
        flags={
            **_accelerator_flags([*accelerator_args(spec.runtime), *device_args(spec.gpu, providers)]),
            **_server_flags(spec),
        },
        environment={one.name: one.value for one in spec.env if one.value is not None},
        ignored_fields=tuple(_ignored(spec, raw_spec)),
    )


def _ignored(spec: ModelServiceSpec, raw_spec: dict[str, Any]) -> Iterator[str]:
    yield from (name for name in sorted(raw_spec) if _snake_case(name) not in _SERVED)
    if spec.generation is not None and spec.generation.adapters:
        yield "generation.adapters"
    yield from (f"env[{one.name}].secretName" for one in spec.env if one.secret_name is not None)


def _accelerator_flags(args: list[str]) -> dict[str, object]:
    """The server reads the pod's arguments, so the manifest's options go the same way."""
    parser = argparse.ArgumentParser()
    add_accelerator_arguments(parser)
    flags = vars(parser.parse_args(args))
    # The engines' directory exists in a pod only.
    return {name: value for name, value in flags.items() if name != "tensorrt_engine_cache"}


def _server_flags(spec: ModelServiceSpec) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    add_serve_arguments(parser)
    args = [*server_args(spec.server), *batching_args(spec.batching), *generation_args(spec.generation)]
    args += sample_args(spec.model.samples)
    given = {arg.removeprefix("--").replace("-", "_") for arg in args if arg.startswith("--")}
    return {name: value for name, value in vars(parser.parse_args(args)).items() if name in given}


def _snake_case(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
