"""The server's settings and their flags; the only reader of the command line."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.machine.cpu import available_cpus
from modelservice_runtime.settings.accelerators import (
    add_accelerator_arguments,
    build_cuda_options,
    build_tensorrt_options,
)
from modelservice_runtime.settings.access_log import (
    AccessLogSettings,
    add_access_log_arguments,
    build_access_log_settings,
)
from modelservice_runtime.settings.argument_types import (
    parse_count,
    parse_duration,
    parse_optional_duration,
    parse_optional_port,
    parse_port,
    parse_worker_count,
)
from modelservice_runtime.settings.batching import ModelSample, add_batching_arguments, parse_sample
from modelservice_runtime.settings.connections import (
    ConnectionSettings,
    add_connection_arguments,
    build_connection_settings,
)
from modelservice_runtime.settings.generation import (
    GenerationSettings,
    add_generation_arguments,
    build_generation_settings,
)
from modelservice_runtime.settings.models import ModelSource, VersionLabel, VersionPolicy
from modelservice_runtime.settings.security import (
    SecuritySettings,
    add_security_arguments,
    build_security_settings,
)
from modelservice_runtime.settings.sessions import CudaOptions, SessionSettings, TensorRtOptions

# Half of the hour that the operator's startup probe grants: the server loads the model once more.
_MODEL_TRIAL_SECONDS = 1800.0
# What all three protocols can carry in a path; excludes '.' and '..'.
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Everything `serve` can be told. Ports of 0 let the kernel choose; a gRPC port of None is off."""

    models: tuple[ModelSource, ...]
    model_version: str = "1"
    version_policy: VersionPolicy = VersionPolicy.LATEST
    version_labels: tuple[VersionLabel, ...] = ()
    model_trial_seconds: float | None = _MODEL_TRIAL_SECONDS
    host: str = "0.0.0.0"  # noqa: S104 - a container's server is for others to reach
    http_port: int = 8080
    grpc_port: int | None = 9000
    metrics_port: int = 8082
    workers: int = 1
    execution_providers: tuple[str, ...] = ("CPU",)
    intra_op_threads: int = field(default_factory=available_cpus)
    device_id: int = 0
    openvino_device: str | None = None
    cuda: CudaOptions = field(default_factory=CudaOptions)
    tensorrt: TensorRtOptions = field(default_factory=TensorRtOptions)
    max_batch_size: int = 1
    max_batch_delay_seconds: float = 0.0
    rows_are_independent: bool = False
    samples: tuple[ModelSample, ...] = ()
    verify_proof: bool = False
    max_queue_size: int = 512
    max_queue_seconds: float = 30.0
    max_request_seconds: float = 300.0
    max_request_bytes: int = 64 * 1024 * 1024
    max_response_bytes: int = 512 * 1024 * 1024
    drain_delay_seconds: float = 5.0
    drain_timeout_seconds: float = 30.0
    access_log: AccessLogSettings = field(default_factory=AccessLogSettings)
    generation: GenerationSettings = field(default_factory=GenerationSettings)
    connections: ConnectionSettings = field(default_factory=ConnectionSettings)
    security: SecuritySettings = field(default_factory=SecuritySettings)

    @property
    def session(self) -> SessionSettings:
        """How every model's session is made."""
        return SessionSettings(
            self.execution_providers,
            self.intra_op_threads,
            self.device_id,
            self.cuda,
            self.tensorrt,
            self.max_response_bytes,
            self.openvino_device,
        )


class SettingsParser(argparse.ArgumentParser):
    """Raises InvalidSettingsError instead of exiting, so that the caller can report it its own way."""

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser.error`."""
        raise InvalidSettingsError(f"{message}; see '{self.prog} --help'")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """See `argparse.ArgumentParser`; what nobody knows is said of the subcommand that it was given to."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown


def add_serve_arguments(parser: argparse.ArgumentParser, default_host: str = "0.0.0.0") -> None:  # noqa: S104
    """Add the flags of `serve`; all have defaults but `--model`."""
    _add_model_arguments(parser)
    _add_address_arguments(parser, default_host)
    _add_execution_arguments(parser)
    add_batching_arguments(parser)
    add_generation_arguments(parser)
    add_accelerator_arguments(parser)
    _add_limit_arguments(parser)
    add_access_log_arguments(parser)
    add_connection_arguments(parser)
    add_security_arguments(parser)


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="a model to serve; PATH is an .onnx file, a directory with one, a directory of versions "
        "(PATH/1/model.onnx, PATH/2/model.onnx), or a directory with genai_config.json for a model that "
        "generates text; may be repeated",
    )
    parser.add_argument(
        "--model-version",
        default="1",
        metavar="V",
        help="version in the protocols of a model without a directory of versions (default: %(default)s)",
    )
    parser.add_argument(
        "--model-version-policy",
        choices=[policy.value for policy in VersionPolicy],
        default=VersionPolicy.LATEST.value,
        help="which versions of a directory to serve (default: %(default)s)",
    )
    parser.add_argument(
        "--version-label",
        action="append",
        default=[],
        metavar="NAME:LABEL=V",
        help="a name for a served version, such as m:stable=3; may be repeated",
    )
    parser.add_argument(
        "--model-trial-seconds",
        type=parse_optional_duration,
        default=_MODEL_TRIAL_SECONDS,
        metavar="S|off",
        help="time for each model's trial: a process of its own loads and runs it before the server does, so "
        "a crash or a hang ends with a sentence; 'off' halves the time to load; TensorRT has none without an "
        "engine cache, for it would build its engines twice (default: %(default)s)",
    )
    parser.add_argument(
        "--verify-proof",
        action="store_true",
        help="replay proof.json and proof.npz beside each model before it serves, and refuse a model that "
        "answers otherwise than its framework did; 'modelservice model convert' writes them",
    )


def _add_address_arguments(parser: argparse.ArgumentParser, default_host: str) -> None:
    parser.add_argument(
        "--host",
        default=default_host,
        help="address to listen on; '::' is every one of IPv4 and IPv6 (default: %(default)s)",
    )
    parser.add_argument(
        "--http-port", type=parse_port, default=8080, metavar="P", help="REST port (default: %(default)s)"
    )
    parser.add_argument(
        "--grpc-port",
        type=parse_optional_port,
        default=9000,
        metavar="P",
        help="gRPC port, or 'off' (default: %(default)s)",
    )
    parser.add_argument(
        "--metrics-port",
        type=parse_port,
        default=8082,
        metavar="P",
        help="Prometheus port (default: %(default)s)",
    )


def _add_execution_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=parse_worker_count,
        default=1,
        metavar="N",
        help="processes that share the ports, each with its own copy of the models: for models so fast that "
        "one Python process is the limit (default: %(default)s)",
    )
    parser.add_argument(
        "--execution-provider",
        action="append",
        default=[],
        metavar="NAME",
        help="ONNX Runtime execution provider, in order of preference; may be repeated; 'CUDA' alone fails "
        "without a GPU, 'CUDA' and 'CPU' fall back (default: CPU)",
    )
    parser.add_argument(
        "--intra-op-threads",
        type=parse_count,
        metavar="N",
        help="threads for one run (default: the CPUs this container may use, shared out among the workers)",
    )


def _add_limit_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-queue-size",
        type=parse_count,
        default=512,
        metavar="N",
        help="requests a model may have waiting before others get 429 (default: %(default)s)",
    )
    parser.add_argument(
        "--max-queue-seconds",
        type=parse_duration,
        default=30.0,
        metavar="S",
        help="time a request may be expected to wait before it gets 429 instead (default: %(default)s)",
    )
    parser.add_argument(
        "--max-request-seconds",
        type=parse_duration,
        default=300.0,
        metavar="S",
        help="time for a request to a model whose loops or sizes follow its values (default: %(default)s)",
    )
    parser.add_argument(
        "--max-request-bytes",
        type=parse_count,
        default=64 * 1024 * 1024,
        metavar="N",
        help="largest body, before and after decompression (default: %(default)s)",
    )
    parser.add_argument(
        "--max-response-bytes",
        type=parse_count,
        default=512 * 1024 * 1024,
        metavar="N",
        help="largest outputs of a request together, as tensors; larger ones get 507 (default: %(default)s)",
    )
    parser.add_argument(
        "--drain-delay-seconds",
        type=parse_duration,
        default=5.0,
        metavar="D",
        help="time to go on serving after SIGTERM, while others learn of it (default: %(default)s)",
    )
    parser.add_argument(
        "--drain-timeout-seconds",
        type=parse_duration,
        default=30.0,
        metavar="T",
        help="time for the last requests after that (default: %(default)s)",
    )


def parse_serve_arguments(argv: Sequence[str]) -> ServeSettings:
    """Parse the flags of `python -m modelservice_runtime serve`. Raises InvalidSettingsError."""
    parser = SettingsParser(
        prog="modelservice_runtime serve", description="Serve ONNX models.", allow_abbrev=False
    )
    add_serve_arguments(parser)
    return build_serve_settings(parser.parse_args(argv))


def build_serve_settings(arguments: argparse.Namespace) -> ServeSettings:
    """Settings from parsed flags. Raises InvalidSettingsError."""
    sources = tuple(parse_model_source(text) for text in arguments.model)
    if not sources:
        raise InvalidSettingsError("no model to serve; give at least one --model NAME=PATH")
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise InvalidSettingsError(f"--model: the name {name!r} is used twice")
    labels = tuple(parse_version_label(text, names) for text in arguments.version_label)
    if len({(label.model, label.label) for label in labels}) != len(labels):
        raise InvalidSettingsError("--version-label: a label of a model is given twice")
    return ServeSettings(
        models=sources,
        model_version=parse_model_version(arguments.model_version),
        version_policy=VersionPolicy(arguments.model_version_policy),
        version_labels=labels,
        model_trial_seconds=_model_trial_seconds(arguments),
        host=arguments.host,
        http_port=arguments.http_port,
        grpc_port=arguments.grpc_port,
        metrics_port=arguments.metrics_port,
        workers=arguments.workers,
        execution_providers=tuple(arguments.execution_provider) or ("CPU",),
        intra_op_threads=arguments.intra_op_threads or max(1, available_cpus() // arguments.workers),
        device_id=arguments.device_id,
        openvino_device=arguments.openvino_device,
        cuda=build_cuda_options(arguments),
        tensorrt=build_tensorrt_options(arguments),
        max_batch_size=arguments.max_batch_size,
        max_batch_delay_seconds=arguments.max_batch_delay_milliseconds / 1000,
        rows_are_independent=arguments.rows_are_independent,
        samples=tuple(parse_sample(text, names) for text in arguments.samples),
        verify_proof=arguments.verify_proof,
        max_queue_size=arguments.max_queue_size,
        max_queue_seconds=arguments.max_queue_seconds,
        max_request_seconds=arguments.max_request_seconds,
        max_request_bytes=arguments.max_request_bytes,
        max_response_bytes=arguments.max_response_bytes,
        drain_delay_seconds=arguments.drain_delay_seconds,
        drain_timeout_seconds=arguments.drain_timeout_seconds,
        access_log=build_access_log_settings(arguments),
        generation=build_generation_settings(arguments, names),
        connections=build_connection_settings(arguments),
        security=build_security_settings(arguments),
    )


def _model_trial_seconds(arguments: argparse.Namespace) -> float | None:
    """None where a trial would build TensorRT's engines, which takes long, and could not hand them on."""
    uses_tensorrt = any(name.lower().startswith("tensorrt") for name in arguments.execution_provider)
    if uses_tensorrt and arguments.tensorrt_engine_cache is None:
        return None
    seconds: float | None = arguments.model_trial_seconds
    return seconds


def parse_model_source(text: str) -> ModelSource:
    """Parse `NAME=PATH`. Raises InvalidSettingsError."""
    name, separator, path = text.partition("=")
    if not separator or not path:
        raise InvalidSettingsError(f"--model {text!r} must have the form NAME=PATH")
    if not _MODEL_NAME.fullmatch(name):
        raise InvalidSettingsError(
            f"--model: the name {name!r} must be at most 128 letters, digits, '.', '_' or '-', "
            "and begin with a letter or digit"
        )
    return ModelSource(name, Path(path))


def parse_model_version(text: str) -> str:
    """Check a version label: it appears in paths. Raises InvalidSettingsError."""
    if not _MODEL_NAME.fullmatch(text):
        raise InvalidSettingsError(f"--model-version {text!r} must be letters, digits, '.', '_' or '-'")
    return text


def parse_version_label(text: str, models: Sequence[str]) -> VersionLabel:
    """Parse `NAME:LABEL=VERSION`. Raises InvalidSettingsError."""
    target, _, version = text.partition("=")
    model, _, label = target.partition(":")
    if not all(_MODEL_NAME.fullmatch(part) for part in (model, label, version)):
        raise InvalidSettingsError(f"--version-label {text!r} must have the form NAME:LABEL=VERSION")
    if model not in models:
        raise InvalidSettingsError(f"--version-label {text!r} names a model that no --model gives")
    return VersionLabel(model, label, version)
