"""What is fuzzed: seeds, and a check that raises on anything but the promised outcomes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.fuzz import decoders, streams


@dataclass(frozen=True)
class Target:
    """`check` takes any bytes; `seeds` are good inputs to begin with."""

    check: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]


TARGETS = {
    "json": Target(decoders.check_json, decoders.json_seeds),
    "binary": Target(decoders.check_binary, decoders.binary_seeds),
    "tfs": Target(decoders.check_tfs, decoders.tfs_seeds),
    "protobuf": Target(decoders.check_protobuf, decoders.protobuf_seeds),
    "tensorflow": Target(decoders.check_tensorflow, decoders.tensorflow_seeds),
    "onnx": Target(decoders.check_onnx, decoders.onnx_seeds),
    "token": Target(decoders.check_token, decoders.token_seeds),
    "http": Target(streams.check_http, streams.http_seeds),
    "http2": Target(streams.check_http2, streams.http2_seeds),
}
