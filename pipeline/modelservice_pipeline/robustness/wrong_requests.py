"""Requests of the Open Inference Protocol that are wrong, each in one way; pure."""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

Document = dict[str, Any]

_JSON = {"Content-Type": "application/json"}
_MUTATIONS = 40
_OTHER_DATATYPES = {"BYTES": "FP32", "FP32": "INT64", "FP64": "BYTES", "INT64": "BYTES", "BOOL": "FP32"}


@dataclass(frozen=True)
class WrongRequest:
    """A request.

    Attributes:
        name: What is wrong with it.
        body: The bytes.
        headers: Beside those that let the user in.
        may_be_right: Whether a server can rightly answer it.
    """

    name: str
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: dict(_JSON))
    may_be_right: bool = False


def make_wrong_requests(right: Document, seed: int) -> Iterator[WrongRequest]:
    """Yield wrong requests made of a right one: JSON whose inputs have `name`, `shape` and flat `data`."""
    yield from _make_documents(right)
    yield from _make_bodies(right)
    yield from _mutate(json.dumps(right).encode(), seed)


def _make_documents(right: Document) -> Iterator[WrongRequest]:
    edits: list[tuple[str, Callable[[Document], Any], bool]] = [
        ("no inputs", lambda one: one.update(inputs=[]), False),
        ("inputs is null", lambda one: one.update(inputs=None), False),
        ("inputs is an object", lambda one: one.update(inputs={}), False),
        ("an input twice", lambda one: one["inputs"].append(one["inputs"][0]), False),
        ("an unknown output", lambda one: one.update(outputs=[{"name": "no-such-output"}]), False),
        ("unknown input", lambda one: _first(one).update(name="no-such-input"), False),
        ("input without a name", lambda one: _first(one).pop("name"), False),
        ("another datatype", lambda one: _first(one).update(datatype=_other(_first(one)["datatype"])), True),
        ("unknown datatype", lambda one: _first(one).update(datatype="COMPLEX7"), False),
        ("datatype is a number", lambda one: _first(one).update(datatype=7), False),
        ("no shape", lambda one: _first(one).pop("shape"), False),
        ("shape is a text", lambda one: _first(one).update(shape="1"), False),
        ("shape of texts", lambda one: _first(one).update(shape=["1"]), False),
        ("shape of fractions", lambda one: _first(one).update(shape=[1.5]), False),
        ("negative shape", lambda one: _first(one).update(shape=[-1]), False),
        ("huge shape", lambda one: _first(one).update(shape=[2**31, 2**31]), False),
        ("shape beyond 64 bits", lambda one: _first(one).update(shape=[2**70]), False),
        ("many dimensions", lambda one: _first(one).update(shape=[1] * 1000), False),
        ("one row more in shape than in data", _say_more_rows, False),
        ("one dimension more", lambda one: _first(one)["shape"].append(1), True),
        ("no rows", lambda one: _first(one).update(shape=[0, *_first(one)["shape"][1:]], data=[]), True),
        ("no data", lambda one: _first(one).pop("data"), False),
        ("data is null", lambda one: _first(one).update(data=None), False),
        ("data of nulls", lambda one: _fill(one, None), False),
        ("data of objects", lambda one: _fill(one, {}), False),
        ("data of texts and numbers", _mix, True),
        ("data nested unevenly", lambda one: _first(one).update(data=[[1], [2, [3]]]), False),
        ("numbers beyond 64 bits", lambda one: _fill(one, 10**400), False),
        ("halves of characters", lambda one: _fill(one, "\ud800"), True),
        ("other parameters", lambda one: one.update(parameters={"binary_data_output": "perhaps"}), True),
    ]  # fmt: skip
    for name, edit, may_be_right in edits:
        document = copy.deepcopy(right)
        edit(document)
        yield WrongRequest(name, json.dumps(document).encode(), may_be_right=may_be_right)


def _make_bodies(right: Document) -> Iterator[WrongRequest]:
    body = json.dumps(right).encode()
    yield WrongRequest("empty body", b"")
    yield WrongRequest("half a body", body[: len(body) // 2])
    yield WrongRequest("not JSON", b"\xff\xfe\x00model")
    yield WrongRequest("a list", b"[]")
    yield WrongRequest("deep lists", b"[" * 100_000)
    yield WrongRequest("NaN as JSON does not know it", body.replace(b'"data": [', b'"data": [NaN, ', 1))
    yield WrongRequest("UTF-16", json.dumps(right).encode("utf-16"))
    length = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "1000000000"}
    yield WrongRequest("binary head longer than the body", body, length)
    yield WrongRequest(
        "binary head of negative length", body, {**length, "Inference-Header-Content-Length": "-1"}
    )
    binary = copy.deepcopy(right)
    _first(binary).pop("data")
    _first(binary)["parameters"] = {"binary_data_size": 2**40}
    head = json.dumps(binary).encode()
    yield WrongRequest(
        "binary data that is not there", head, {**length, "Inference-Header-Content-Length": str(len(head))}
    )
    yield WrongRequest("not gzip, though it says so", body, {**_JSON, "Content-Encoding": "gzip"})


def _mutate(body: bytes, seed: int) -> Iterator[WrongRequest]:
    random = Random(seed)  # noqa: S311 - the same requests for a seed
    for number in range(_MUTATIONS):
        changed = bytearray(body)
        for _ in range(random.randrange(1, 4)):
            start = random.randrange(len(changed))
            stop = min(len(changed), start + random.randrange(1, 9))
            changed[start:stop] = random.choice(
                [b"", random.randbytes(stop - start), changed[start:stop] * 2]
            )
        yield WrongRequest(
            f"bytes changed at random, {number + 1}", bytes(changed) or b"{", may_be_right=True
        )


def _first(document: Document) -> Document:
    tensor: Document = document["inputs"][0]
    return tensor


def _other(datatype: str) -> str:
    return _OTHER_DATATYPES.get(datatype, "BYTES")


def _say_more_rows(document: Document) -> None:
    _first(document)["shape"][0] += 1


def _fill(document: Document, value: Any) -> None:
    _first(document)["data"] = [value] * len(_first(document)["data"])


def _mix(document: Document) -> None:
    tensor = _first(document)
    tensor["data"] = [*tensor["data"][:-1], 1 if isinstance(tensor["data"][-1], str) else "one"]
