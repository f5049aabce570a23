"""Server reflection, so that tools such as grpcurl need no .proto files. v1 and v1alpha differ only in name.

Source: grpc, `doc/server-reflection.md`.
"""

from collections.abc import Collection, Iterator
from types import ModuleType
from typing import TypeAlias

from google.protobuf.descriptor import FileDescriptor

from modelservice_runtime.errors import ServingError
from modelservice_runtime.protocols.grpc.unary import parse_plain_request
from modelservice_runtime.protos import reflection_v1_pb2, reflection_v1alpha_pb2
from modelservice_runtime.protos.pool import POOL
from modelservice_runtime.transport.grpc.open_streams import OpenStreams
from modelservice_runtime.transport.grpc.stream import CallHandler, GrpcCall, Service
from modelservice_runtime.transport.status import GrpcStatus, grpc_error

SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")

_Request: TypeAlias = reflection_v1_pb2.ServerReflectionRequest
_Response: TypeAlias = reflection_v1_pb2.ServerReflectionResponse


class Reflection:
    """Answers from the pool of the server's own messages."""

    def __init__(self, messages: ModuleType, service_names: Collection[str]) -> None:
        self.request_class: type[_Request] = messages.ServerReflectionRequest
        self._response_class: type[_Response] = messages.ServerReflectionResponse
        self._service_names = service_names

    def answer(self, request: _Request) -> _Response:
        """Answer one request; what is unknown is an answer too."""
        response = self._response_class(valid_host=request.host, original_request=request)
        try:
            self._fill(request, response)
        except KeyError:
            response.error_response.error_code = GrpcStatus.NOT_FOUND
            response.error_response.error_message = "no such file, symbol or extension"
        return response

    def _fill(self, request: _Request, response: _Response) -> None:
        """Raises KeyError for what is not there."""
        kind = request.WhichOneof("message_request")
        if kind == "list_services":
            for name in self._service_names:
                response.list_services_response.service.add(name=name)
        elif kind == "file_by_filename":
            _add_files(response, POOL.FindFileByName(request.file_by_filename))
        elif kind == "file_containing_symbol":
            _add_files(response, _file_containing(request.file_containing_symbol))
        elif kind == "all_extension_numbers_of_type":
            POOL.FindMessageTypeByName(request.all_extension_numbers_of_type)
            numbers = response.all_extension_numbers_response
            numbers.base_type_name = request.all_extension_numbers_of_type
        elif kind == "file_containing_extension":
            raise KeyError(kind)  # these messages have no extensions
        else:
            response.error_response.error_code = GrpcStatus.INVALID_ARGUMENT
            response.error_response.error_message = "the request asks for nothing"


class _ReflectionHandler:
    def __init__(self, call: GrpcCall, reflection: Reflection, streams: OpenStreams) -> None:
        self._call = call
        self._reflection = reflection
        streams.add(self)

    def on_message(self, message: bytes) -> None:
        try:
            request = parse_plain_request(self._reflection.request_class, message)
        except ServingError as error:
            raise grpc_error(error) from error
        self._call.send(self._reflection.answer(request).SerializeToString())

    def on_end(self) -> None:
        self.end_when_idle(GrpcStatus.OK, "")

    def on_cancel(self) -> None:
        """Nothing is under way."""

    def end_when_idle(self, status: GrpcStatus, message: str) -> None:
        """See `Endable`."""
        self._call.finish(status, message)


def reflection_services(service_names: Collection[str], streams: OpenStreams) -> dict[str, Service]:
    """Both versions of the service's only method by its path."""
    services: dict[str, Service] = {}
    for name, messages in zip(SERVICES, (reflection_v1_pb2, reflection_v1alpha_pb2), strict=True):
        services[f"/{name}/ServerReflectionInfo"] = _service(Reflection(messages, service_names), streams)
    return services


def _service(reflection: Reflection, streams: OpenStreams) -> Service:
    def service(call: GrpcCall) -> CallHandler:
        return _ReflectionHandler(call, reflection, streams)

    return service


def _file_containing(symbol: str) -> FileDescriptor:
    """Methods have names too, `package.Service.Method`: some tools ask for nothing else."""
    try:
        return POOL.FindFileContainingSymbol(symbol)
    except KeyError:
        service, _, method = symbol.rpartition(".")
        return POOL.FindServiceByName(service).methods_by_name[method].containing_service.file


def _add_files(response: _Response, file: FileDescriptor) -> None:
    """The file and everything it imports: a client without them would ask once for each."""
    files = {imported.name: imported for imported in _with_imports(file)}
    response.file_descriptor_response.file_descriptor_proto.extend(
        imported.serialized_pb for imported in files.values()
    )


def _with_imports(file: FileDescriptor) -> Iterator[FileDescriptor]:
    yield file
    for imported in file.dependencies:
        yield from _with_imports(imported)
