"""The .proto files: the committed modules are made from them, and they agree with those of known clients."""

from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from grpc_health.v1 import health_pb2 as public_health
from grpc_reflection.v1alpha import reflection_pb2 as public_reflection
from hack.generate.protos import proto_modules
from tritonclient.grpc import model_config_pb2, service_pb2

from modelservice_runtime.protos import (
    health_pb2,
    inference_pb2,
    reflection_v1_pb2,
    reflection_v1alpha_pb2,
    tensorflow_pb2,
    tensorflow_serving_pb2,
)

ROOT = Path(__file__).parents[4]
NEWER_THAN_THE_PACKAGE = ("HealthListRequest", "HealthListResponse")


def test_committed_modules_are_generated() -> None:
    for path, text in proto_modules(ROOT).items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path}: run `make generate`"


def shape(field: FieldDescriptor) -> tuple[object, ...]:
    oneof = field.containing_oneof.name if field.containing_oneof else None
    packed = field.is_repeated and field.is_packed
    return field.number, field.type, field.is_repeated, packed, oneof


def compare(ours: Descriptor, theirs: Descriptor) -> None:
    for field in ours.fields:
        assert shape(field) == shape(theirs.fields_by_name[field.name]), field.full_name
        if field.enum_type is not None:
            known = {value.name: value.number for value in theirs.fields_by_name[field.name].enum_type.values}
            assert {value.name: value.number for value in field.enum_type.values}.items() <= known.items()
    for nested in ours.nested_types:
        compare(nested, theirs.nested_types_by_name[nested.name])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (inference_pb2.DESCRIPTOR, [service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR]),
        (health_pb2.DESCRIPTOR, [public_health.DESCRIPTOR]),
        (reflection_v1alpha_pb2.DESCRIPTOR, [public_reflection.DESCRIPTOR]),
    ],
    ids=["inference", "health", "reflection"],
)
def test_messages_and_methods_agree_with_the_public_ones(
    ours: FileDescriptor, theirs: list[FileDescriptor]
) -> None:
    known = {name: message for file in theirs for name, message in file.message_types_by_name.items()}
    for name, message in ours.message_types_by_name.items():
        if name not in NEWER_THAN_THE_PACKAGE:
            compare(message, known[name])
    for service in ours.services_by_name.values():
        public = theirs[0].services_by_name[service.name]
        assert service.full_name == public.full_name
        for method in service.methods:
            if method.name in public.methods_by_name:
                other = public.methods_by_name[method.name]
                assert method.input_type.full_name == other.input_type.full_name
                assert method.output_type.full_name == other.output_type.full_name


def test_both_versions_of_reflection_are_the_same() -> None:
    new, old = reflection_v1_pb2.DESCRIPTOR, reflection_v1alpha_pb2.DESCRIPTOR
    for name, message in new.message_types_by_name.items():
        compare(message, old.message_types_by_name[name])


# Number of each field, from TensorFlow's and TensorFlow Serving's public .proto files (2.21): a client of
# them is too large a package to install here.
TENSORFLOW_FIELDS = {
    "TensorProto": {
        "dtype": 1, "tensor_shape": 2, "tensor_content": 4, "float_val": 5, "double_val": 6, "int_val": 7,
        "string_val": 8, "int64_val": 10, "bool_val": 11, "half_val": 13, "uint32_val": 16, "uint64_val": 17,
    },
    "TensorShapeProto": {"dim": 2, "unknown_rank": 3},
    "TensorInfo": {"name": 1, "dtype": 2, "tensor_shape": 3},
    "SignatureDef": {"inputs": 1, "outputs": 2, "method_name": 3},
    "Feature": {"bytes_list": 1, "float_list": 2, "int64_list": 3},
}  # fmt: skip
SERVING_FIELDS = {
    "ModelSpec": {"name": 1, "version": 2, "signature_name": 3, "version_label": 4},
    "PredictRequest": {"model_spec": 1, "inputs": 2, "output_filter": 3},
    "PredictResponse": {"outputs": 1, "model_spec": 2},
    "ClassificationResponse": {"result": 1, "model_spec": 2},
    "RegressionResponse": {"result": 1, "model_spec": 2},
    "GetModelMetadataRequest": {"model_spec": 1, "metadata_field": 2},
    "GetModelMetadataResponse": {"model_spec": 1, "metadata": 2},
    "ModelVersionStatus": {"version": 1, "state": 2, "status": 3},
    "GetModelStatusResponse": {"model_version_status": 1},
}


@pytest.mark.parametrize(
    ("file", "fields"),
    [(tensorflow_pb2.DESCRIPTOR, TENSORFLOW_FIELDS), (tensorflow_serving_pb2.DESCRIPTOR, SERVING_FIELDS)],
    ids=["tensorflow", "serving"],
)
def test_tensorflow_messages_have_the_public_numbers(
    file: FileDescriptor, fields: dict[str, dict[str, int]]
) -> None:
    for message, numbers in fields.items():
        found = file.message_types_by_name[message].fields
        assert {field.name: field.number for field in found} == numbers
