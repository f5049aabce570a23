"""Bodies of the routes that describe the server and its models; pure.

Sources: Open Inference Protocol `inference_rest.md`; Triton `extension_model_repository.md`,
`extension_model_configuration.md`, `extension_statistics.md`.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import orjson

from modelservice_runtime.execution.statistics import BatchStatistics, ModelStatistics
from modelservice_runtime.model import PLATFORM, Batching, ModelSpec
from modelservice_runtime.models.repository import IndexEntry, ModelHandle, ModelState
from modelservice_runtime.models.snapshots import ModelSnapshot
from modelservice_runtime.tensors import BYTES, TensorSpec

_MAX_INT64 = (1 << 63) - 1

SERVER_NAME = "modelservice"
# Triton's words (extension_model_repository.md) for a version's life.
_INDEX_STATES = {
    ModelState.START: "LOADING",
    ModelState.LOADING: "LOADING",
    ModelState.AVAILABLE: "READY",
    ModelState.UNLOADING: "UNLOADING",
    ModelState.END: "UNAVAILABLE",
}
# What Triton's configuration has in JSON beside what is said here; there every member has a value, and
# clients rely on it. In protobuf these are defaults.
_CONFIG_DEFAULTS: dict[str, Any] = {
    "batch_input": [],
    "batch_output": [],
    "instance_group": [],
    "default_model_filename": "",
    "cc_model_filenames": {},
    "metric_tags": {},
    "model_warmup": [],
}
_INPUT_DEFAULTS = {
    "format": "FORMAT_NONE",
    "is_shape_tensor": False,
    "allow_ragged_batch": False,
    "optional": False,
}
_OUTPUT_DEFAULTS = {"label_filename": "", "is_shape_tensor": False}
EXTENSIONS = ["binary_tensor_data", "model_configuration", "statistics"]


@cache
def server_version() -> str:
    """The installed distribution's version."""
    # Imported here: it is large, and few ask.
    from importlib.metadata import version

    return version("modelservice")


def server_metadata() -> dict[str, Any]:
    """`GET /v2`."""
    return {"name": SERVER_NAME, "version": server_version(), "extensions": EXTENSIONS}


def version_number(version: str) -> int | None:
    """A version where protocols have numbers of 64 bits for it, or None."""
    number = int(version) if version.isascii() and version.isdigit() else _MAX_INT64 + 1
    return number if number <= _MAX_INT64 else None


def model_list(names: Sequence[str]) -> dict[str, Any]:
    """`GET /v2/models` and `GET /v1/models`, as KServe's servers have them: the names of what answers."""
    return {"models": list(names)}


def model_metadata(handle: ModelHandle, versions: Sequence[str]) -> dict[str, Any]:
    """`GET /v2/models/M`: the signature; -1 marks a variable dimension."""
    spec = handle.spec
    return {
        "name": spec.name,
        "versions": list(versions),
        "platform": PLATFORM,
        "inputs": [_tensor_metadata(tensor) for tensor in spec.inputs],
        "outputs": [_tensor_metadata(tensor) for tensor in spec.outputs],
    }


def model_metadata_document(handle: ModelHandle, versions: Sequence[str]) -> dict[str, Any]:
    """The same in JSON, which has room for parameters, as MLServer has them: labels, and what is left out."""
    spec = handle.spec
    document = model_metadata(handle, versions)
    for entry, tensor in zip(document["outputs"], spec.outputs, strict=True):
        if tensor.labels:
            entry["parameters"] = {"labels": list(tensor.labels)}
    if spec.left_out:
        document["parameters"] = {"left_out_outputs": dict(spec.left_out)}
    return document


def model_config_document(handle: ModelHandle) -> dict[str, Any]:
    """`GET /v2/models/M/config`."""
    config = model_config(handle)
    return {
        **config,
        "input": [{**tensor, **_INPUT_DEFAULTS} for tensor in config["input"]],
        "output": [{**tensor, **_OUTPUT_DEFAULTS} for tensor in config["output"]],
        **_CONFIG_DEFAULTS,
    }


def model_config(handle: ModelHandle) -> dict[str, Any]:
    """A ModelConfig of Triton without defaults; `dims` lack the batch dimension of a batched model."""
    spec = handle.spec
    batched = handle.lane.max_batch_size > 1
    return {
        "name": spec.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"specific": {"versions": [spec.version]}},
        "max_batch_size": handle.lane.max_batch_size if batched else 0,
        "input": [_tensor_config(tensor, batched=batched) for tensor in spec.inputs],
        "output": [_tensor_config(tensor, batched=batched) for tensor in spec.outputs],
        "parameters": {**_batching_parameters(handle.batching), **_output_parameters(spec)},
    }


def _batching_parameters(batching: Batching) -> dict[str, Any]:
    """Whether requests share runs and why not, where Triton has room for what a backend says."""
    known = {
        "batching_source": batching.source,
        "batching_obstacle": batching.obstacle,
    }
    return {name: {"string_value": text} for name, text in known.items() if text is not None}


def _output_parameters(spec: ModelSpec) -> dict[str, Any]:
    """Labels of outputs, and outputs that are left out, as JSON in the texts that there is room for."""
    known: dict[str, object] = {
        f"labels.{tensor.name}": list(tensor.labels) for tensor in spec.outputs if tensor.labels
    }
    if spec.left_out:
        known["left_out_outputs"] = dict(spec.left_out)
    return {name: {"string_value": orjson.dumps(value).decode()} for name, value in known.items()}


def repository_index(entries: Sequence[IndexEntry], *, ready_only: bool) -> list[dict[str, str]]:
    """`POST /v2/repository/index`."""
    return [
        {
            "name": entry.name,
            "version": entry.version,
            "state": _INDEX_STATES[entry.state],
            "reason": "unloaded" if entry.state is ModelState.END else "",
        }
        for entry in entries
        if entry.state is ModelState.AVAILABLE or not ready_only
    ]


def model_statistics(models: Iterable[ModelHandle | ModelSnapshot]) -> dict[str, Any]:
    """`GET /v2/models/stats` and `/v2/models/M/stats`; times are nanoseconds since the load."""
    return {"model_stats": [_statistics(model) for model in models]}


def _statistics(model: ModelHandle | ModelSnapshot) -> dict[str, Any]:
    counted = model.statistics
    return {
        "name": model.name,
        "version": model.version,
        "last_inference": counted.last_inference_ms,
        "inference_count": counted.inference_count,
        "execution_count": counted.execution_count,
        "inference_stats": _inference_statistics(counted),
        "batch_stats": [_batch_statistics(rows, batch) for rows, batch in sorted(counted.batches.items())],
    }


def _inference_statistics(counted: ModelStatistics) -> dict[str, Any]:
    succeeded = counted.success_count
    return {
        "success": {"count": succeeded, "ns": counted.success_ns},
        "fail": {"count": sum(counted.failures.values()), "ns": counted.fail_ns},
        "queue": {"count": succeeded, "ns": counted.queue_ns},
        "compute_input": {"count": succeeded, "ns": counted.compute_input_ns},
        "compute_infer": {"count": succeeded, "ns": counted.compute_infer_ns},
        "compute_output": {"count": succeeded, "ns": counted.compute_output_ns},
    }


def _batch_statistics(rows: int, batch: BatchStatistics) -> dict[str, Any]:
    return {
        "batch_size": rows,
        "compute_input": {"count": batch.count, "ns": batch.compute_input_ns},
        "compute_infer": {"count": batch.count, "ns": batch.compute_infer_ns},
        "compute_output": {"count": batch.count, "ns": batch.compute_output_ns},
    }


def _tensor_metadata(tensor: TensorSpec) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype.name, "shape": tensor.public_shape}


def _tensor_config(tensor: TensorSpec, *, batched: bool) -> dict[str, Any]:
    """Where no dimension is left, Triton has one of 1, which the model does not get (`fit_shape`)."""
    name = "STRING" if tensor.datatype is BYTES else tensor.datatype.name
    dims = tensor.public_shape[1:] if batched else tensor.public_shape
    config = {"name": tensor.name, "data_type": f"TYPE_{name}", "dims": dims or [1]}
    return config if dims else {**config, "reshape": {"shape": []}}
