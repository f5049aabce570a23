from modelservice_runtime.errors import ServingError
from modelservice_runtime.protocols.status import ERRORS, error_response, grpc_error
from modelservice_runtime.transport.grpc.stream import GrpcStatus


def test_every_error_has_a_status_in_every_protocol() -> None:
    assert set(ERRORS) == set(ServingError.__subclasses__())
    for error in ERRORS:
        assert 400 <= error_response(error("a sentence")).status < 600
        answer = grpc_error(error("a sentence"))
        assert (answer.message, answer.status is GrpcStatus.OK) == ("a sentence", False)


def test_client_and_server_faults_are_told_apart_alike() -> None:
    client_faults = {GrpcStatus.INVALID_ARGUMENT, GrpcStatus.NOT_FOUND, GrpcStatus.UNAUTHENTICATED}
    for mapping in ERRORS.values():
        if mapping.grpc_status in client_faults:
            assert mapping.status < 500
        if mapping.grpc_status is GrpcStatus.INTERNAL:
            assert mapping.status == 500
