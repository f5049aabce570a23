"""Hostile requests; every row of the list of attacks, and where it is tested.

- a body over the limit, by Content-Length, in chunks, or while it is sent; crumbs of chunks; gzip bombs;
  CL+TE, bare LF, header bombs, malformed framing; slow heads, bodies and readers; too many connections;
  clients that leave; pipelines: `test_http_connection.py`
- shapes, datatypes, UTF-8, BYTES lengths and binary sizes that do not fit; outputs that are many, unknown or
  asked for twice; giant outputs; '..', '%2e' and NUL in names; errors without paths:
  `test_rest_interface.py`
- deep, long and odd JSON: here, `test_codecs.py`
- millions of tiny texts or values: `test_request_limits.py`; what takes long and must not hold up others:
  `test_large_requests.py`, `test_large_answers.py`
- HTTP/2 and gRPC: `transport/http2/`, `protocols/`
- who may ask: `test_access_policy.py`, `test_tokens.py`, `test_api_keys.py`, `test_tls.py`
- forged log lines, the metrics port: `test_metrics.py`
- payloads in logs, tracebacks in answers: here
"""

import gzip
import json
import logging
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from tests.unit.runtime.server_thread import ServerThread, read_answer, read_until_closed

from modelservice_runtime.errors import PayloadTooLargeError
from modelservice_runtime.transport.content_encoding import decode_body

MLP = "/v2/models/mlp/infer"
INPUTS = b'"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]'
DIGITS = b"9" * 1_000_000


@pytest.fixture(autouse=True)
def quiet_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No request here is the server's fault."""
    caplog.set_level(logging.INFO)
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


JSON: dict[str, bytes] = {
    "depth of lists": b"[" * 100_000,
    "depth of objects": b'{"a":' * 100_000,
    "depth within the data": INPUTS.replace(b"[1,2", b"[" * 1000 + b"1" + b"]" * 1000 + b",[1,2"),
    "depth behind the first value": INPUTS.replace(b"[1,2", b"[1," + b"[" * 1000 + b"2" + b"]" * 1000),
    "depth in a shape": INPUTS.replace(b"[1,4]", b"[1," + b"[" * 1000 + b"4" + b"]" * 1000 + b"]"),
    "depth below the parser's limit": b'{"x":' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"," + INPUTS + b"}",
    "the same with a colon in a text": b'{"id":":","x":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b',"x":1}',
    "the same of lists": b'{"id":":","x":' + b"[" * 1000 + b"]" * 1000 + b',"x":1}',
    "million digits in a parameter": b'{"parameters":{"timeout":' + DIGITS + b"}," + INPUTS + b"}",
    "million digits in a shape": b"{" + INPUTS.replace(b"[1,4]", b"[" + DIGITS + b",4]") + b"}",
    "million digits in data": b"{" + INPUTS.replace(b"[1,2", b"[" + DIGITS + b",2") + b"}",
    **{
        word.decode(): b"{" + INPUTS.replace(b"[1,2", b"[%b,2" % word) + b"}"
        for word in (b"nan", b"NaNs", b"-nan", b"+NaN", b"Infinit", b"+Infinity", b"Infs", b"--Inf", b"-I")
    },
    "NaN for a name": b"{" + INPUTS.replace(b'"x"', b"NaN") + b"}",
    "NaN for a shape": b"{" + INPUTS.replace(b"[1,4]", b"[NaN,4]") + b"}",
    "Infinity for a timeout": b'{"parameters":{"timeout":Infinity},' + INPUTS + b"}",
    "NaN and the same key twice": b"{" + INPUTS.replace(b"[1,2", b"[NaN,2") + b',"inputs":[]}',
    "NaN within open brackets": b"[NaN," * 100_000,
    "Inf behind open quotes": b'{"Inf":Inf,"' + b'\\"' * 100_000,
    "number beyond doubles": b"{" + INPUTS.replace(b"[1,2", b"[1e999,2") + b"}",
    "hexadecimal": b"{" + INPUTS.replace(b"[1,2", b"[0x1,2") + b"}",
    "comment": b"{/**/" + INPUTS + b"}",
    "single quotes": b"{" + INPUTS.replace(b'"', b"'") + b"}",
    "two documents": b"{" + INPUTS + b"}{}",
    "NUL behind": b"{" + INPUTS + b"}\0",
    "byte order mark": b"\xef\xbb\xbf{" + INPUTS + b"}",
    "UTF-16": (b"{" + INPUTS + b"}").decode().encode("utf-16"),
    "lone surrogate": b'{"id":"\\ud800",' + INPUTS + b"}",
    "overlong UTF-8": b'{"id":"\xc0\xaf",' + INPUTS + b"}",
    "duplicate key": b"{" + INPUTS + b"," + INPUTS + b"}",
    "duplicate key, escaped": b'{"\\u0069nputs":[],' + INPUTS + b"}",
    "duplicate key in a later element": b'{"x":[1,{"a":1,"a":2}],' + INPUTS + b"}",
}  # fmt: skip


@pytest.mark.parametrize("name", JSON)
def test_infer_of_bad_json_is_400(server: ServerThread, name: str) -> None:
    body = JSON[name] if JSON[name][:1] in (b"{", b"[", b"\xef", b"\xff") else b"{" + JSON[name] + b"}"
    answer = server.request("POST", MLP, body)
    assert answer.status == 400
    assert len(answer.body) < 600


@pytest.mark.parametrize(
    "body",
    [
        b"{"
        + b",".join(b'"%d":1' % (number * (2**61 - 1)) for number in range(50_000))
        + b","
        + INPUTS
        + b"}",
        b'{"id":"' + b":" * 1_000_000 + b'",' + INPUTS + b"}",
    ],
    ids=["keys of one hash", "colons"],
)
def test_infer_of_costly_json_is_answered(server: ServerThread, body: bytes) -> None:
    assert server.request("POST", MLP, body).status == 200


ZEROS = bytes(10_000_000)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip", gzip.compress(ZEROS, mtime=0)),
        (b"deflate", zlib.compress(ZEROS)),
        (b"deflate", zlib.compress(ZEROS, wbits=-15)),
    ],
    ids=["gzip", "zlib", "bare deflate"],
)
def test_decode_body_of_a_bomb_stops_at_the_limit(encoding: bytes, body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLargeError):
            decode_body(body, encoding, 100_000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_decode_body_undoes_one_layer_only() -> None:
    assert decode_body(gzip.compress(gzip.compress(b"{}")), b"gzip", 1000) != b"{}"


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "gzip;q=1", "\xff", "compress"])
def test_infer_of_an_unknown_encoding_is_415(server: ServerThread, encoding: str) -> None:
    assert server.request("POST", MLP, b"{}", {"Content-Encoding": encoding}).status == 415


def test_body_longer_than_its_announced_length_is_another_request(server: ServerThread) -> None:
    with server.connect() as connection:
        head = b"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
        connection.sendall(head + b"{}smuggled\r\n\r\n")
        assert [read_answer(connection)[0] for _ in range(2)] == [400, 400]
        assert read_until_closed(connection) == b""


@pytest.mark.parametrize(
    ("model", "tensor"),
    [
        ("mlp", {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ["hush-hush", 2, 3, 4]}),
        ("text", {"name": "x", "shape": [2], "datatype": "BYTES", "data": ["hush-hush"]}),
        ("text", {"name": "x", "shape": [1], "datatype": "BYTES", "data": ["hush-hush"]}),
        ("hush-hush", {}),
    ],
)
def test_payload_is_never_logged(
    server: ServerThread, model: str, tensor: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    server.request("POST", f"/v2/models/{model}/infer", {"inputs": [tensor]}, {"X-Api-Key": "hush-hush"})
    assert "hush-hush" not in caplog.text


@pytest.mark.parametrize("name", ["a%0d%0aX:%20y", "%1b[2J", "%00", "..%2f..%2fetc%2fpasswd", "x" * 4000])
def test_name_in_an_error_is_short_and_escaped(server: ServerThread, name: str) -> None:
    answer = server.request("GET", f"/v2/models/{name}")
    sentence = answer.json()["error"]
    assert answer.status == 404
    assert sentence.isprintable()
    assert len(sentence) < 300
    assert "Traceback" not in json.dumps(sentence)


@pytest.mark.parametrize("length", ["0", "00", "0000"])
def test_infer_of_a_raw_request_with_any_zero_is_answered(server: ServerThread, length: str) -> None:
    for _ in range(3):  # the second time there is a plan for requests like the first
        headers = {"Inference-Header-Content-Length": length}
        answer = server.request("POST", "/v2/models/identity_FP32/infer", bytes(8), headers)
        assert answer.status == 200


@pytest.mark.parametrize("text", ["\u016f==", "YQ", "YQ==\n", "Y Q==", "=", "_w==", "/w==", "\u0000"])
def test_infer_of_bad_base64_is_400_in_every_protocol(server: ServerThread, text: str) -> None:
    value = {"b64": text}
    tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "data": [value]}
    assert server.infer("text", [tensor]).status == 400
    assert server.request("POST", "/v1/models/text:predict", {"instances": [value]}).status == 400
