"""`inference.GRPCInferenceService`: the Open Inference Protocol over gRPC, with extensions of Triton.

Sources: Open Inference Protocol, `inference_grpc.md`; Triton, `grpc_service.proto`.
"""

from modelservice_runtime.errors import ModelUnavailableError, NotFoundError
from modelservice_runtime.models.health import Health
from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.protocols import metadata
from modelservice_runtime.protocols.grpc.infer_handler import infer_service
from modelservice_runtime.protocols.grpc.unary import unary_service
from modelservice_runtime.protocols.oip.grpc.infer import OipInference, stream_infer_service
from modelservice_runtime.protos import inference_pb2 as pb
from modelservice_runtime.transport.grpc.open_streams import OpenStreams
from modelservice_runtime.transport.grpc.stream import Service

SERVICE = "inference.GRPCInferenceService"


class OipMethods:
    """The methods that describe the server and its models."""

    def __init__(self, table: ModelTable, health: Health) -> None:
        self._table = table
        self._health = health

    def server_live(self, _request: pb.ServerLiveRequest) -> pb.ServerLiveResponse:
        """ServerLive."""
        return pb.ServerLiveResponse(live=self._health.live)

    def server_ready(self, _request: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
        """ServerReady."""
        return pb.ServerReadyResponse(ready=self._health.ready)

    def model_ready(self, request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        """ModelReady; an unknown model is not ready, as in Triton."""
        try:
            self._table.check_answers(request.name, request.version or None)
            ready = not self._health.draining
        except (ModelUnavailableError, NotFoundError):
            ready = False
        return pb.ModelReadyResponse(ready=ready)

    def server_metadata(self, _request: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
        """ServerMetadata."""
        return pb.ServerMetadataResponse(**metadata.server_metadata())

    def model_metadata(self, request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        """ModelMetadata."""
        handle = self._find(request.name, request.version)
        versions = self._table.versions(handle.spec.name)
        return pb.ModelMetadataResponse(**metadata.model_metadata(handle, versions))

    def model_config(self, request: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
        """ModelConfig; versions that are not numbers have no place in it."""
        config = metadata.model_config(self._find(request.name, request.version))
        specific = config["version_policy"]["specific"]
        numbers = [metadata.version_number(version) for version in specific["versions"]]
        specific["versions"] = [number for number in numbers if number is not None]
        return pb.ModelConfigResponse(config=config)

    def model_statistics(self, request: pb.ModelStatisticsRequest) -> pb.ModelStatisticsResponse:
        """ModelStatistics: of a version, of a model, or of all."""
        if request.version:
            handles = [self._find(request.name, request.version)]
        elif request.name:
            self._find(request.name, "")
            handles = [handle for handle in self._table.handles() if handle.spec.name == request.name]
        else:
            handles = self._table.handles()
        return pb.ModelStatisticsResponse(**metadata.model_statistics(handles))

    def repository_index(self, request: pb.RepositoryIndexRequest) -> pb.RepositoryIndexResponse:
        """RepositoryIndex."""
        models = metadata.repository_index(self._table.index(), ready_only=request.ready)
        return pb.RepositoryIndexResponse(models=models)

    def _find(self, name: str, version: str) -> ModelHandle:
        return self._table.find(name, version or None)


def oip_services(table: ModelTable, health: Health, streams: OpenStreams) -> dict[str, Service]:
    """Every method of the service by its path."""
    methods = OipMethods(table, health)
    inference = OipInference(table)
    services = {
        "ModelInfer": infer_service(inference.start),
        "ModelStreamInfer": stream_infer_service(inference, streams),
        "ServerLive": unary_service(pb.ServerLiveRequest, methods.server_live),
        "ServerReady": unary_service(pb.ServerReadyRequest, methods.server_ready),
        "ModelReady": unary_service(pb.ModelReadyRequest, methods.model_ready),
        "ServerMetadata": unary_service(pb.ServerMetadataRequest, methods.server_metadata),
        "ModelMetadata": unary_service(pb.ModelMetadataRequest, methods.model_metadata),
        "ModelConfig": unary_service(pb.ModelConfigRequest, methods.model_config),
        "ModelStatistics": unary_service(pb.ModelStatisticsRequest, methods.model_statistics),
        "RepositoryIndex": unary_service(pb.RepositoryIndexRequest, methods.repository_index),
    }
    return {f"/{SERVICE}/{method}": service for method, service in services.items()}
