"""Health, reflection, typed contents and TensorFlow Serving, through grpcio and its unmodified clients."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tests.unit.runtime.server_thread import ServerThread
from tritonclient.grpc import service_pb2, service_pb2_grpc

from modelservice_runtime.protos import tensorflow_serving_pb2 as tfs

SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "inference.GRPCInferenceService",
    "tensorflow.serving.ModelService",
    "tensorflow.serving.PredictionService",
]


@pytest.fixture(scope="module")
def channel(server: ServerThread) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as opened:
        yield opened


def status_of(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    code: grpc.StatusCode = refused.value.code()
    return code


def test_health_client_checks_and_watches(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    assert stub.Check(health_pb2.HealthCheckRequest()).status == serving
    named = health_pb2.HealthCheckRequest(service="inference.GRPCInferenceService")
    assert stub.Check(named).status == serving
    watch = stub.Watch(named)
    assert next(watch).status == serving
    watch.cancel()
    unknown = health_pb2.HealthCheckRequest(service="nothing")
    assert status_of(lambda: stub.Check(unknown)) is grpc.StatusCode.NOT_FOUND


def test_reflection_client_finds_every_service_and_calls_one(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert sorted(database.get_services()) == SERVICES
    pool = DescriptorPool(database)
    for name in SERVICES:
        assert pool.FindServiceByName(name).full_name == name
    method = pool.FindServiceByName("inference.GRPCInferenceService").methods_by_name["ServerMetadata"]
    request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    call = channel.unary_unary(
        "/inference.GRPCInferenceService/ServerMetadata",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response.FromString,
    )
    assert call(request()).name == "modelservice"
    with pytest.raises(KeyError):
        pool.FindMessageTypeByName("inference.Nothing")


@pytest.mark.parametrize("symbol", ["ModelInferRequest.id", "TYPE_BOOL", "GRPCInferenceService.ModelInfer"])
def test_reflection_client_finds_the_file_of_every_kind_of_symbol(channel: grpc.Channel, symbol: str) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert database.FindFileContainingSymbol(f"inference.{symbol}").name == "inference.proto"
    for unknown in ("inference.Nothing", "inference.Nothing.ModelInfer", "Nothing", ""):
        with pytest.raises(KeyError):
            ProtoReflectionDescriptorDatabase(channel).FindFileContainingSymbol(unknown)


def test_generated_stub_sends_and_gets_typed_contents(channel: grpc.Channel) -> None:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    request = service_pb2.ModelInferRequest(model_name="two")
    for name, datatype, shape in (("a", "FP32", [2, 2]), ("b", "FP32", [2, 2]), ("text", "BYTES", [2])):
        request.inputs.add(name=name, datatype=datatype, shape=shape)
    for tensor in request.inputs[:2]:
        tensor.contents.fp32_contents.extend([1, 2, 3, 4])
    request.inputs[2].contents.bytes_contents.extend([b"one", b"two"])
    raw = stub.ModelInfer(request)
    assert np.frombuffer(raw.raw_output_contents[0], np.float32).tolist() == [2, 4, 6, 8]
    request.parameters["binary_data_output"].bool_param = False
    typed = stub.ModelInfer(request)
    assert list(typed.outputs[0].contents.fp32_contents) == [2, 4, 6, 8]
    assert list(typed.outputs[1].contents.bytes_contents) == [b"one", b"two"]
    assert list(typed.raw_output_contents) == []


def test_methods_that_are_lacking_are_unimplemented(channel: grpc.Channel) -> None:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    load = service_pb2.RepositoryModelLoadRequest(model_name="mlp")
    assert status_of(lambda: stub.RepositoryModelLoad(load)) is grpc.StatusCode.UNIMPLEMENTED


def tfs_call(channel: grpc.Channel, method: str, request: Any, response: Any) -> Callable[[], Any]:
    call = channel.unary_unary(
        f"/tensorflow.serving.{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response.FromString,
    )
    return lambda: call(request)


def test_tensorflow_client_predicts(channel: grpc.Channel) -> None:
    request = tfs.PredictRequest(model_spec={"name": "two", "signature_name": "serving_default"})
    for name in "ab":
        tensor = request.inputs[name]
        tensor.dtype = 1
        tensor.tensor_shape.dim.add(size=1)
        tensor.tensor_shape.dim.add(size=2)
        tensor.float_val.extend([1, 2])
    text = request.inputs["text"]
    text.dtype = 7
    text.tensor_shape.dim.add(size=1)
    text.string_val.append(b"one")
    response = tfs_call(channel, "PredictionService/Predict", request, tfs.PredictResponse)()
    assert list(response.outputs["sum"].float_val) == [2, 4]
    assert list(response.outputs["copy"].string_val) == [b"one"]
    assert response.model_spec.version.value == 1
    request.model_spec.version.value = 9
    call = tfs_call(channel, "PredictionService/Predict", request, tfs.PredictResponse)
    assert status_of(call) is grpc.StatusCode.NOT_FOUND
    request.model_spec.version_label = "stable"
    call = tfs_call(channel, "PredictionService/Predict", request, tfs.PredictResponse)
    assert status_of(call) is grpc.StatusCode.NOT_FOUND


def test_tensorflow_client_reads_metadata_and_status(channel: grpc.Channel) -> None:
    request = tfs.GetModelMetadataRequest(model_spec={"name": "mlp"}, metadata_field=["signature_def"])
    response = tfs_call(
        channel, "PredictionService/GetModelMetadata", request, tfs.GetModelMetadataResponse
    )()
    signatures = tfs.SignatureDefMap()
    packed = response.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    signatures.ParseFromString(packed.value)
    signature = signatures.signature_def["serving_default"]
    assert [dimension.size for dimension in signature.inputs["x"].tensor_shape.dim] == [-1, 4]
    assert signature.method_name == "tensorflow/serving/predict"
    del request.metadata_field[:]
    call = tfs_call(channel, "PredictionService/GetModelMetadata", request, tfs.GetModelMetadataResponse)
    assert status_of(call) is grpc.StatusCode.INVALID_ARGUMENT
    asked = tfs.GetModelStatusRequest(model_spec={"name": "mlp"})
    (version,) = tfs_call(
        channel, "ModelService/GetModelStatus", asked, tfs.GetModelStatusResponse
    )().model_version_status
    assert (version.version, version.state) == (1, tfs.ModelVersionStatus.AVAILABLE)
