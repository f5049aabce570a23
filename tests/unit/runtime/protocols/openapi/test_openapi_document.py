"""The document and the server say the same: every route, and every answer."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runtime.server_thread import Answer, ServerThread

from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.oip.routes import METHODS, ROUTES
from modelservice_runtime.protocols.openai.asking.asked import read_chat, read_completion
from modelservice_runtime.protocols.openai.asking.fields import Fields
from modelservice_runtime.protocols.openai.asking.responses import read_response
from modelservice_runtime.protocols.openai.errors import FieldError
from modelservice_runtime.protocols.openai.routes import OPENAI_METHODS, OPENAI_ROUTES
from modelservice_runtime.protocols.openapi.document import build_document
from modelservice_runtime.protocols.openapi.openai_schemas import OPENAI_SCHEMAS
from modelservice_runtime.protocols.openapi.operations import DOCUMENT_PATH, REFUSING
from modelservice_runtime.protocols.tfs.routes import TFS_METHODS, TFS_ROUTES
from modelservice_runtime.settings.security import JwtSettings, SecuritySettings, TlsSettings
from modelservice_runtime.tensors import DATATYPES, TensorSpec

DOCUMENT = build_document([], {})
OPERATIONS = [
    (method, path) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"
]


def make_spec(name: str, *shapes: tuple[int, ...] | None, output: tuple[int, ...] = (-1, 3)) -> ModelSpec:
    inputs = tuple(TensorSpec(f"x{index}", DATATYPES["FP32"], shape) for index, shape in enumerate(shapes))
    return ModelSpec(name, "1", inputs, (TensorSpec("y", DATATYPES["FP32"], output),))


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A response, or the schema itself, behind its reference."""
    found: Any = document
    for part in schema["$ref"][2:].split("/"):
        found = found[part]
    return dict(found)


def assert_conforms(document: dict[str, Any], method: str, path: str, answer: Answer) -> None:
    """The answer's status, content type and body are those of the operation."""
    responses = document["paths"][path][method]["responses"]
    assert str(answer.status) in responses, (method, path, answer.status, answer.body[:200])
    response = responses[str(answer.status)]
    response = resolve(document, response) if "$ref" in response else response
    if method == "head":
        assert "content" not in response
        assert answer.body == b""
        return
    content_type = answer.headers["Content-Type"]
    assert content_type in response["content"]
    if content_type == "application/json":
        schema = {**response["content"][content_type]["schema"], "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json())


def test_document_has_every_route_that_does_more_than_refuse_and_no_other() -> None:
    oip = {path: METHODS[endpoint] for path, endpoint in ROUTES if endpoint not in REFUSING}
    tfs = {path: TFS_METHODS[endpoint] for path, endpoint in TFS_ROUTES}
    openai = {path: OPENAI_METHODS[endpoint] for path, endpoint in OPENAI_ROUTES if endpoint not in REFUSING}
    served = {DOCUMENT_PATH: (b"GET", b"HEAD"), **oip, **tfs, **openai}
    described = {
        path: tuple(method.upper().encode() for method in item if method != "parameters")
        for path, item in DOCUMENT["paths"].items()
    }
    assert described == served


def test_document_is_well_formed() -> None:
    document = build_document([make_spec("m", (-1, 4))], {})
    json.dumps(document)
    assert document["openapi"] == "3.1.0"
    names = [
        operation["operationId"]
        for item in document["paths"].values()
        for key, operation in item.items()
        if key != "parameters"
    ]
    assert len(set(names)) == len(names) == len(OPERATIONS)
    for path, item in document["paths"].items():
        declared = [parameter["name"] for parameter in item.get("parameters", [])]
        assert declared == re.findall(r"\{(\w+)\}", path)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)):
        assert resolve(document, {"$ref": reference})


def subschemas(node: object) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from subschemas(child)


def test_schemas_are_such_as_generators_of_clients_know() -> None:
    """openapi-python-client wants the items of every array, oapi-codegen has no unions but with null."""
    for schema in subschemas(DOCUMENT["components"]["schemas"]):
        kind = schema.get("type")
        if isinstance(kind, list):
            assert len(set(kind) - {"null"}) == 1, schema
        elif kind == "array":
            assert "items" in schema


def test_document_names_the_models_and_shows_only_examples_they_answer() -> None:
    large, small, value = (
        make_spec("large", (-1, 1000)),
        make_spec("small", (-1, 2), None),
        make_spec("value", (-1,), output=(-1, 1)),
    )
    document = build_document([large, small, value], {"value": {"stable": "1"}})

    def example(path: str) -> tuple[Any, Any]:
        item = document["paths"][path]
        body = item["post"]["requestBody"]["content"]["application/json"]
        return item["parameters"][0].get("example"), body.get("example")

    assert (
        document["paths"]["/v2/models/{model}"]["parameters"][0]["description"]
        == "a model: large, small, value"
    )
    x0 = {"name": "x0", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 1.0]}
    x1 = {"name": "x1", "datatype": "FP32", "shape": [1], "data": [1.0]}
    assert example("/v2/models/{model}/infer") == ("small", {"inputs": [x0, x1]})
    assert example("/v1/models/{model}:predict") == ("small", {"inputs": {"x0": [[1.0, 1.0]], "x1": [1.0]}})
    assert example("/v1/models/{model}:regress") == ("value", {"examples": [{"x0": [1.0]}]})
    labelled = document["paths"]["/v1/models/{model}/labels/{label}:regress"]["parameters"]
    assert [parameter["example"] for parameter in labelled] == ["value", "stable"]
    assert build_document([], {})["paths"]["/v2/models/{model}"]["parameters"][0]["description"] == "a model"


KEYS, TOKENS = Path("keys"), JwtSettings(Path("jwks"), "issuer", "audience")
TLS = TlsSettings(Path("chain"), Path("key"), Path("ca"))


@pytest.mark.parametrize(
    ("security", "requirements"),
    [
        (SecuritySettings(), []),
        (SecuritySettings(tls=TlsSettings(Path("chain"), Path("key"))), []),
        (SecuritySettings(jwt=TOKENS), [{"bearer": []}]),
        (SecuritySettings(api_key_file=KEYS), [{"bearer": []}, {"apiKey": []}]),
        (SecuritySettings(tls=TLS), [{"certificate": []}]),
        (SecuritySettings(jwt=TOKENS, tls=TLS), [{"bearer": [], "certificate": []}]),
    ],
)
def test_document_says_what_a_request_needs(
    security: SecuritySettings, requirements: list[dict[str, list[str]]]
) -> None:
    document = build_document([], {}, security)
    assert document["security"] == requirements
    assert set(document["components"]["securitySchemes"]) == {name for each in requirements for name in each}
    free = {path for method, path in OPERATIONS if document["paths"][path][method].get("security") == []}
    assert free == {"/", "/v2/health/live", "/v2/health/ready"}


def test_every_example_is_answered_as_described(server: ServerThread) -> None:
    document = server.request("GET", DOCUMENT_PATH).json()
    answered = set()
    for method, path in OPERATIONS:
        item = document["paths"][path]
        values = {
            parameter["name"]: parameter.get("example", "none") for parameter in item.get("parameters", [])
        }
        body = item[method].get("requestBody", {}).get("content", {}).get("application/json", {})
        answer = server.request(method.upper(), path.format(**values), body.get("example"))
        assert_conforms(document, method, path, answer)
        # There is no model that generates text: no body has an example, and the one named is none.
        is_openai = item[method]["tags"] == ["OpenAI"]
        expected = 400 if is_openai and method == "post" else 200
        expected = 501 if "/generate" in path else expected
        is_missing = "none" in values.values() or (is_openai and "model" in values)
        assert answer.status == (404 if is_missing else expected), (path, answer.body)
        answered.add(path)
    assert len(answered) == len(DOCUMENT["paths"])


NAMES = st.sampled_from(["mlp", "two", "text", "log", "1"]) | st.text(max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "shape", "data", "datatype", "parameters", "x", "b64"])
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
BODIES = st.dictionaries(
    st.sampled_from(
        [
            "inputs",
            "outputs",
            "id",
            "parameters",
            "instances",
            "examples",
            "signature_name",
            "ready",
            "model",
            "messages",
            "prompt",
            "stream",
        ]
    ),
    JSON,
    max_size=3,
)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(OPERATIONS), st.lists(NAMES, min_size=3, max_size=3), BODIES)
def test_no_request_is_answered_other_than_described(
    server: ServerThread, operation: tuple[str, str], names: list[str], body: dict[str, Any]
) -> None:
    method, path = operation
    encoded = [quote(name, safe="") for name in names]
    target = path.format(model=encoded[0], version=encoded[1], label=encoded[2])
    answer = server.request(method.upper(), target, body if method == "post" else None)
    assert_conforms(DOCUMENT, method, path, answer)
    assert answer.status != 500, answer.body


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_other_methods_are_405_with_those_that_are_described(server: ServerThread, path: str) -> None:
    target = path.format(model="mlp", version="1", label="stable")
    described = {method.upper() for method in DOCUMENT["paths"][path] if method != "parameters"}
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - described:
        answer = server.request(method, target)
        assert answer.status == 405
        assert set(answer.headers["Allow"].split(", ")) == described


def test_model_that_loads_is_answered_as_described(server: ServerThread, tmp_path: Path) -> None:
    server.loop.call_soon_threadsafe(server.table.declare, "loading", "1")
    try:
        for method, path in OPERATIONS:
            body: Any = {} if method == "post" else None
            answer = server.request(
                method.upper(), path.format(model="loading", version="1", label="a"), body
            )
            assert_conforms(DOCUMENT, method, path, answer)
            if "{model}" in path and not path.endswith(("{model}", "{version}")) and "openai" not in path:
                assert answer.status == 503
    finally:
        server.table._entries.pop(("loading", "1"))


class _Read(dict[str, Any]):
    """A body that knows what was looked for in it."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(fields)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def _takes(read: Callable[[Fields], object], body: dict[str, Any], name: str) -> bool:
    """Whether a request may have the field."""
    for value in (1, "a", ["a"], True, {"type": "text"}):
        try:
            read(Fields({**body, name: value}))
        except FieldError:
            continue
        return True
    return False


@pytest.mark.parametrize(
    ("schema", "read", "body"),
    [
        ("ChatRequest", read_chat, _Read(model="m", messages=[{"role": "user", "content": "A"}])),
        ("CompletionRequest", read_completion, _Read(model="m", prompt="A")),
        ("ResponseRequest", read_response, _Read(model="m", input="A")),
    ],
)
def test_every_field_that_a_request_for_text_may_have_is_told(
    schema: str, read: Callable[[Fields], object], body: _Read
) -> None:
    read(Fields(body))
    taken = {name for name in body.names if name in body or _takes(read, body, name)}

    assert taken <= OPENAI_SCHEMAS[schema]["properties"].keys()
