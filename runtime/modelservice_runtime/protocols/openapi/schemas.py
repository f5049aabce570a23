"""JSON Schemas of requests and answers (JSON Schema 2020-12, as OpenAPI 3.1 has it); data only.

They say what the server takes and gives, no more: where it takes null or ignores what it does not know, so do
they. That a shape fits its data and its model no schema can say; such requests are answered with 400.
"""

from typing import Any, TypeAlias

from modelservice_runtime.tensors import DATATYPES, MAX_RANK

Schema: TypeAlias = dict[str, Any]

STRING: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
OBJECT: Schema = {"type": "object"}
ANY: Schema = {}


def ref(name: str) -> Schema:
    """A reference to a schema of this document."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object of an answer: these members, and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


def open_record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object of a request: these members; others are ignored."""
    schema: Schema = {"type": "object", "properties": {**required, **(optional or {})}}
    return {**schema, "required": list(required)} if required else schema


def array(items: Schema, **limits: int) -> Schema:
    """An array of `items`."""
    return {"type": "array", "items": items, **limits}


def one_of(*schemas: Schema) -> Schema:
    """Any of `schemas`: generators of clients know this better than a list of types."""
    return {"anyOf": list(schemas)}


def nullable(schema: Schema) -> Schema:
    """`schema` with its one type, or null."""
    return {**schema, "type": [schema["type"], "null"]}


_TENSOR_CONFIG: dict[str, Schema] = {
    "name": STRING,
    "data_type": STRING,
    "dims": array({"type": "integer", "minimum": -1}),
    "is_shape_tensor": BOOLEAN,
}
_RESHAPE = {"reshape": record({"shape": array(COUNT)})}
_DURATION = record({"count": COUNT, "ns": COUNT})
_DATATYPE: Schema = {"enum": list(DATATYPES)}
_PARAMETERS: Schema = {
    "type": ["object", "null"],
    "additionalProperties": ANY,
    "description": "What is null counts as absent, and what the server does not know is ignored.",
}
_DATA: Schema = {
    "description": "Row-major, nested or flat. BYTES are UTF-8 strings, or objects with the only member "
    "'b64', base64 text. In answers the numbers NaN, Infinity and -Infinity are written as these tokens.",
}
_SHAPE = array({"type": "integer", "minimum": 0}, maxItems=MAX_RANK)

_OIP: dict[str, Schema] = {
    "Error": record({"error": {**STRING, "description": "what is wrong, and what to do"}}),
    "ServerMetadata": record({"name": STRING, "version": STRING, "extensions": array(STRING)}),
    "Alive": record({"status": {"enum": ["alive", "failed"]}}),
    "ServerLive": record({"live": BOOLEAN}),
    "ServerReady": record({"ready": BOOLEAN}),
    "ModelList": record({"models": array(STRING)}),
    "TensorMetadata": record(
        {
            "name": STRING,
            "datatype": _DATATYPE,
            "shape": array({"type": "integer", "minimum": -1, "description": "-1: any size"}),
        },
        {"parameters": record({"labels": array(one_of(STRING, {"type": "integer"}))})},
    ),
    "ModelMetadata": record(
        {
            "name": STRING,
            "versions": array(STRING),
            "platform": STRING,
            "inputs": array(ref("TensorMetadata")),
            "outputs": array(ref("TensorMetadata")),
        },
        {"parameters": record({"left_out_outputs": {**OBJECT, "description": "what each is"}})},
    ),
    "ModelReady": record({"name": STRING, "ready": BOOLEAN}),
    "InferRequest": open_record(
        {"inputs": array(ref("RequestInput"))},
        {
            "id": {**nullable(STRING), "description": "comes back in the answer"},
            "parameters": {
                **_PARAMETERS,
                "properties": {
                    "timeout": {"type": "integer", "minimum": 0, "description": "microseconds"},
                    "priority": {"type": "integer", "minimum": 0, "description": "1: first; 0: the default"},
                    "binary_data_output": BOOLEAN,
                },
            },
            "outputs": {**nullable(array(ref("RequestOutput"))), "description": "none: all of them"},
        },
    ),
    "RequestInput": open_record(
        {"name": STRING, "datatype": _DATATYPE, "shape": _SHAPE},
        {
            "data": _DATA,
            "parameters": {**_PARAMETERS, "properties": {"binary_data_size": COUNT}},
        },
    ),
    "RequestOutput": open_record(
        {"name": STRING}, {"parameters": {**_PARAMETERS, "properties": {"binary_data": BOOLEAN}}}
    ),
    "InferResponse": record(
        {"model_name": STRING, "model_version": STRING, "outputs": array(ref("ResponseOutput"))},
        {"id": STRING},
    ),
    "ResponseOutput": record(
        {"name": STRING, "datatype": _DATATYPE, "shape": array(COUNT)},
        {"data": {**_DATA, **array(ANY)}, "parameters": record({"binary_data_size": COUNT})},
    ),
    "InputConfig": record(
        {
            **_TENSOR_CONFIG,
            "format": STRING,
            "allow_ragged_batch": BOOLEAN,
            "optional": BOOLEAN,
        },
        _RESHAPE,
    ),
    "OutputConfig": record({**_TENSOR_CONFIG, "label_filename": STRING}, _RESHAPE),
    "ModelConfig": record(
        {
            "name": STRING,
            "platform": STRING,
            "backend": STRING,
            "version_policy": OBJECT,
            "max_batch_size": COUNT,
            "input": array(ref("InputConfig")),
            "output": array(ref("OutputConfig")),
            "default_model_filename": STRING,
            **dict.fromkeys(("batch_input", "batch_output", "instance_group", "model_warmup"), array(ANY)),
            **dict.fromkeys(("cc_model_filenames", "metric_tags", "parameters"), OBJECT),
        }
    ),
    "ModelStatistics": record({"model_stats": array(ref("VersionStatistics"))}),
    "VersionStatistics": record(
        {
            "name": STRING,
            "version": STRING,
            "last_inference": {**COUNT, "description": "milliseconds since 1970"},
            "inference_count": COUNT,
            "execution_count": COUNT,
            "inference_stats": record(
                dict.fromkeys(
                    ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"),
                    _DURATION,
                )
            ),
            "batch_stats": array(
                record(
                    {
                        "batch_size": COUNT,
                        **dict.fromkeys(("compute_input", "compute_infer", "compute_output"), _DURATION),
                    }
                )
            ),
        }
    ),
    "RepositoryIndexRequest": open_record({}, {"ready": {**BOOLEAN, "description": "only ready versions"}}),
    "RepositoryIndex": array(
        record(
            {
                "name": STRING,
                "version": STRING,
                "state": {"enum": ["LOADING", "READY", "UNLOADING", "UNAVAILABLE"]},
                "reason": STRING,
            }
        )
    ),
}

_SIGNATURE_NAME: Schema = {**STRING, "description": "'serving_default', which is the default"}
_EXAMPLE: Schema = {"type": "object", "description": "a feature's value, or a flat list of them, by name"}

_TFS: dict[str, Schema] = {
    "PredictRequest": {
        **open_record(
            {}, {"signature_name": _SIGNATURE_NAME, "instances": array(ANY, minItems=1), "inputs": ANY}
        ),
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
    },
    "PredictResponse": {
        "oneOf": [record({"predictions": array(ANY)}), record({"outputs": ANY})],
        "description": "'predictions' answers 'instances', 'outputs' answers 'inputs'",
    },
    "ExamplesRequest": open_record(
        {"examples": array(_EXAMPLE, minItems=1)}, {"signature_name": _SIGNATURE_NAME, "context": _EXAMPLE}
    ),
    "ClassifyResponse": record(
        {
            "results": array(
                array(
                    {
                        **array(one_of(STRING, NUMBER), minItems=2, maxItems=2),
                        "description": "label, score",
                    }
                )
            )
        }
    ),
    "RegressResponse": record({"results": array({"type": "number"})}),
    "ModelStatus": record(
        {
            "model_version_status": array(
                record(
                    {
                        "version": STRING,
                        "state": {"enum": ["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]},
                        "status": record({"error_code": STRING, "error_message": STRING}),
                    }
                )
            )
        }
    ),
    "TensorInfo": record(
        {
            "dtype": STRING,
            "tensor_shape": record(
                {"dim": array(record({"size": STRING, "name": STRING})), "unknown_rank": BOOLEAN}
            ),
            "name": STRING,
        }
    ),
    "SignatureDef": record(
        {
            "inputs": {"type": "object", "additionalProperties": ref("TensorInfo")},
            "outputs": {"type": "object", "additionalProperties": ref("TensorInfo")},
            "method_name": STRING,
        }
    ),
    "SignatureMetadata": record(
        {
            "model_spec": record({"name": STRING, "signature_name": STRING, "version": STRING}),
            "metadata": record(
                {
                    "signature_def": record(
                        {"signature_def": {"type": "object", "additionalProperties": ref("SignatureDef")}}
                    )
                }
            ),
        }
    ),
}

SCHEMAS: dict[str, Schema] = {"Document": {"type": "object"}, **_OIP, **_TFS}
