"""Bodies of the routes that describe models; pure.

Sources: tensorflow/serving `apis/get_model_status.proto`, `apis/get_model_metadata.proto`,
`g3doc/api_rest.md`; 64-bit integers are strings, as protobuf's JSON has them.
"""

from collections.abc import Sequence
from typing import Any

from modelservice_runtime.model import ModelSpec
from modelservice_runtime.models.repository import IndexEntry
from modelservice_runtime.protocols.tfs.prepared_call import DEFAULT_SIGNATURE
from modelservice_runtime.protocols.tfs.rest.predict_codec import METHOD_NAME
from modelservice_runtime.tensors import TensorSpec

# tensorflow/core/framework/types.proto
TF_DTYPES = {
    "BOOL": "DT_BOOL", "UINT8": "DT_UINT8", "UINT16": "DT_UINT16", "UINT32": "DT_UINT32",
    "UINT64": "DT_UINT64", "INT8": "DT_INT8", "INT16": "DT_INT16", "INT32": "DT_INT32",
    "INT64": "DT_INT64", "FP16": "DT_HALF", "BF16": "DT_BFLOAT16", "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE", "BYTES": "DT_STRING",
}  # fmt: skip


def model_status(entries: Sequence[IndexEntry]) -> dict[str, Any]:
    """`GET /v1/models/M`; a version that cannot be loaded ends the server, so there is no other error."""
    return {
        "model_version_status": [
            {
                "version": entry.version,
                "state": entry.state.value,
                "status": {"error_code": "OK", "error_message": ""},
            }
            for entry in entries
        ]
    }


def model_metadata(spec: ModelSpec) -> dict[str, Any]:
    """`GET /v1/models/M/metadata`."""
    signature = {
        "inputs": {tensor.name: _tensor_info(tensor) for tensor in spec.inputs},
        "outputs": {tensor.name: _tensor_info(tensor) for tensor in spec.outputs},
        "method_name": METHOD_NAME,
    }
    return {
        "model_spec": {"name": spec.name, "signature_name": "", "version": spec.version},
        "metadata": {"signature_def": {"signature_def": {DEFAULT_SIGNATURE: signature}}},
    }


def _tensor_info(tensor: TensorSpec) -> dict[str, Any]:
    dimensions = [{"size": str(dimension), "name": ""} for dimension in tensor.shape or ()]
    return {
        "dtype": TF_DTYPES[tensor.datatype.name],
        "tensor_shape": {"dim": dimensions, "unknown_rank": tensor.shape is None},
        "name": tensor.name,
    }
