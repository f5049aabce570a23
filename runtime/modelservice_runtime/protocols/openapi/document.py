"""Builds the document from the route tables, so that it cannot say other than what is served; pure."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeAlias

from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.metadata import SERVER_NAME, server_version
from modelservice_runtime.protocols.openapi.examples import find_example
from modelservice_runtime.protocols.openapi.openai_schemas import OPENAI_SCHEMAS
from modelservice_runtime.protocols.openapi.operations import Operation, PathOperation, path_operations
from modelservice_runtime.protocols.openapi.schemas import SCHEMAS, ref
from modelservice_runtime.protocols.openapi.security import (
    open_operation,
    security_requirements,
    security_schemes,
)
from modelservice_runtime.settings.security import SecuritySettings
from modelservice_runtime.transport.http import EVENT_STREAM, JSON, OCTET_STREAM

Labels: TypeAlias = Mapping[str, Mapping[str, str]]

_PARAMETER = re.compile(r"\{(\w+)\}")
_JSON = JSON.decode("ascii")
_OCTETS = OCTET_STREAM.decode("ascii")
_EVENTS = EVENT_STREAM.decode("ascii")
# What any path may answer: refusals by access control or by the limits on a request.
_ANYWHERE = (400, 401, 403, 405, 408, 413, 414, 431, 500, 503)
_MAX_NAMES = 20
_BINARY = (
    "Tensors may follow the JSON as raw bytes (Triton's binary tensor extension): the header "
    "Inference-Header-Content-Length then gives the bytes of the JSON; 0 means that the body is nothing but "
    "the one input's data."
)


def build_document(
    specs: Sequence[ModelSpec], labels: Labels, security: SecuritySettings | None = None
) -> dict[str, Any]:
    """The document, with the given models and version labels as examples."""
    settings = security or SecuritySettings()
    paths = {entry.path: _path_item(entry, specs, labels) for entry in path_operations()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": SERVER_NAME,
            "version": server_version(),
            "description": "ONNX models over the Open Inference Protocol (V2), TensorFlow Serving's REST "
            "interface and OpenAI's API (v1).",
        },
        "security": security_requirements(settings),
        "paths": paths,
        "components": {
            "securitySchemes": security_schemes(settings),
            "schemas": {**SCHEMAS, **OPENAI_SCHEMAS},
            "responses": {
                name: {"description": "What is wrong", "content": _content(ref(name))}
                for name in ("Error", "OpenAiError")
            },
        },
    }


def _path_item(entry: PathOperation, specs: Sequence[ModelSpec], labels: Labels) -> dict[str, Any]:
    labelled = [spec for spec in specs if spec.version in labels.get(spec.name, {}).values()]
    example = find_example(entry.name, labelled if "{label}" in entry.path else specs)
    item: dict[str, Any] = {
        method.decode("ascii").lower(): _operation(entry, method, None if example is None else example[1])
        for method in entry.methods
    }
    names = _PARAMETER.findall(entry.path)
    if names:
        values = {} if example is None else _example_values(example[0], labels)
        described = {"model": _model_description(sorted({spec.name for spec in specs}))}
        item["parameters"] = [_path_parameter(name, described.get(name), values.get(name)) for name in names]
    return item


def _path_parameter(name: str, description: str | None, example: str | None) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description or f"a {name} of the model",
        "schema": {"type": "string"},
        **({} if example is None else {"example": example}),
    }


def _example_values(spec: ModelSpec, labels: Labels) -> dict[str, str]:
    values = {"model": spec.name, "version": spec.version}
    for label, version in labels.get(spec.name, {}).items():
        if version == spec.version:
            values["label"] = label
    return values


def _model_description(names: Sequence[str]) -> str:
    if not names:
        return "a model"
    return f"a model: {', '.join(names[:_MAX_NAMES])}{', ...' if len(names) > _MAX_NAMES else ''}"


def _operation(entry: PathOperation, method: bytes, body_example: Any) -> dict[str, Any]:
    operation = entry.operation
    words = [method.decode("ascii").lower(), *re.findall(r"\w+", entry.path)]
    described: dict[str, Any] = {
        "operationId": "_".join(words),
        "summary": operation.summary,
        "tags": [entry.tag],
        "responses": _responses(entry, only_head=method == b"HEAD"),
        **open_operation(entry.path),
    }
    if operation.body is not None:
        described["requestBody"] = _request_body(operation, operation.body, body_example)
    if operation.binary:
        described["description"] = _BINARY
    return described


def _responses(entry: PathOperation, *, only_head: bool) -> dict[str, Any]:
    operation = entry.operation
    statuses = sorted({*_ANYWHERE, *operation.statuses})
    error = {"$ref": f"#/components/responses/{operation.error}"}
    responses: dict[str, Any] = {str(status): error for status in statuses}
    answer = _content(ref(operation.answer))
    if operation.not_ready is not None:
        answers = {"schema": {"anyOf": [ref(operation.answer), ref("Error")]}}
        responses[str(operation.not_ready)] = {"description": "Not now", "content": {_JSON: answers}}
    if operation.binary:
        answer[_OCTETS] = {}
    if operation.streamed:
        answer[_EVENTS] = {}
    responses["200"] = {"description": HTTPStatus.OK.phrase, "content": answer}
    if only_head:
        return {status: {"description": HTTPStatus(int(status)).phrase} for status in responses}
    return responses


def _request_body(operation: Operation, schema: str, example: Any) -> dict[str, Any]:
    content = _content(ref(schema))
    if example is not None:
        content[_JSON]["example"] = example
    if operation.binary:
        content[_OCTETS] = {}
    return {"required": operation.body_required, "content": content}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {_JSON: {"schema": schema}}
