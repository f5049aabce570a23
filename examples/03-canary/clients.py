"""Clients that ask about messages all the time, over REST and gRPC, on kept and on new connections."""

from functools import partial
from typing import Any

from hack.demo.predict import MESSAGES, build_request
from hack.load import Load, grpc_client, rest_client
from tritonclient.grpc import service_pb2

Address = tuple[str, int]
_EMPTY_MESSAGE = ("",)


def spam_load(model: str, rest_address: Address, grpc_address: Address) -> Load:
    """Return the clients; answers are counted by the version of the model that gave them."""
    path = f"/v2/models/{model}/infer"
    rest, empty = (
        partial(rest_client, rest_address, path, build_request(texts), _version_in_json)
        for texts in (MESSAGES, _EMPTY_MESSAGE)
    )
    grpc = partial(grpc_client, grpc_address, _grpc_request(model), _version_in_message)
    return Load(keeping=[rest, grpc], reconnecting=[rest, rest, empty, grpc])


def _grpc_request(model: str) -> service_pb2.ModelInferRequest:
    contents = service_pb2.InferTensorContents(bytes_contents=[text.encode() for text in MESSAGES])
    tensor = service_pb2.ModelInferRequest.InferInputTensor(
        name="text", datatype="BYTES", shape=[len(MESSAGES)], contents=contents
    )
    return service_pb2.ModelInferRequest(model_name=model, inputs=[tensor])


def _version_in_json(answer: Any) -> str:
    return str(answer["model_version"])


def _version_in_message(answer: service_pb2.ModelInferResponse) -> str:
    return str(answer.model_version)
