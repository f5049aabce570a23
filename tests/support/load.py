"""Clients that ask an adder without a pause, and count the sums they are told."""

import math
import struct
from functools import partial
from typing import Any

from hack.load import Load, grpc_client, rest_client
from tests.support.serving import User, adder_request
from tritonclient.grpc import service_pb2

GRPC_PORT = 9000


def adder_load(
    user: User,
    name: str,
    *,
    keeping: int = 3,
    reconnecting: int = 1,
    grpc_clients: bool = False,
    grpc_host: str = "",
) -> Load:
    """Clients of REST; with `grpc_clients` one of each kind that speaks gRPC beside them, to `grpc_host`.

    Answers are counted by the sum, `math.nan` for every NaN.
    """
    rest = partial(
        rest_client, user.address(name), f"/v2/models/{name}/infer", adder_request(0), _sum_in_json
    )
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="values", datatype="FP32", shape=[1])
    request = service_pb2.ModelInferRequest(
        model_name=name, inputs=[tensor], raw_input_contents=[struct.pack("<f", 0)]
    )
    others = []
    if grpc_clients:
        address = user.address(name, GRPC_PORT)
        others = [partial(grpc_client, address, request, _sum_in_message, grpc_host)]
    return Load([*[rest] * keeping, *others], [*[rest] * reconnecting, *others])


def _sum_in_json(answer: Any) -> float:
    return _counted(answer["outputs"][0]["data"][0])


def _sum_in_message(answer: service_pb2.ModelInferResponse) -> float:
    return _counted(struct.unpack("<f", answer.raw_output_contents[0])[0])


def _counted(number: float) -> float:
    """NaN equals nothing, so the same object has to stand for every one."""
    return math.nan if math.isnan(number) else float(number)
