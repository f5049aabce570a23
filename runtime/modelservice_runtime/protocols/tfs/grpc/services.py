"""TensorFlow Serving over gRPC: `PredictionService` and `ModelService`.

Source: tensorflow/serving `apis/prediction_service.proto`, `apis/model_service.proto`.
"""

from google.protobuf.json_format import ParseDict

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.protocols.grpc.infer_handler import infer_service
from modelservice_runtime.protocols.grpc.unary import unary_service
from modelservice_runtime.protocols.metadata import version_number
from modelservice_runtime.protocols.tfs import documents
from modelservice_runtime.protocols.tfs.grpc.examples import tfs_classification, tfs_regression
from modelservice_runtime.protocols.tfs.grpc.predict import (
    TfsPrediction,
    find_model,
    model_spec,
    version_or_label,
)
from modelservice_runtime.protocols.tfs.lookup import find_entries
from modelservice_runtime.protos import tensorflow_serving_pb2 as pb
from modelservice_runtime.transport.grpc.stream import Service

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"

_SIGNATURE_DEF = "signature_def"


class TfsMethods:
    """The methods that describe models; the documents are those of the REST interface."""

    def __init__(self, table: ModelTable) -> None:
        self._table = table

    def metadata(self, request: pb.GetModelMetadataRequest) -> pb.GetModelMetadataResponse:
        """GetModelMetadata."""
        if list(request.metadata_field) != [_SIGNATURE_DEF]:
            raise InvalidRequestError(f"'metadata_field' must be ['{_SIGNATURE_DEF}']; there is no other")
        spec = find_model(self._table, request.model_spec).spec
        document = documents.model_metadata(spec)["metadata"][_SIGNATURE_DEF]
        signatures = ParseDict(document, pb.SignatureDefMap())
        response = pb.GetModelMetadataResponse(model_spec=model_spec(spec))
        response.metadata[_SIGNATURE_DEF].Pack(signatures)
        return response

    def status(self, request: pb.GetModelStatusRequest) -> pb.GetModelStatusResponse:
        """GetModelStatus; versions that are not numbers cannot be shown."""
        which = request.model_spec
        entries = find_entries(self._table, which.name, *version_or_label(which))
        shown = [entry for entry in entries if version_number(entry.version) is not None]
        document = documents.model_status(shown)
        return ParseDict(document, pb.GetModelStatusResponse())


def tfs_services(table: ModelTable) -> dict[str, Service]:
    """Every method of both services by its path."""
    methods = TfsMethods(table)
    return {
        f"/{PREDICTION_SERVICE}/Predict": infer_service(TfsPrediction(table).start),
        f"/{PREDICTION_SERVICE}/Classify": infer_service(tfs_classification(table).start),
        f"/{PREDICTION_SERVICE}/Regress": infer_service(tfs_regression(table).start),
        f"/{PREDICTION_SERVICE}/GetModelMetadata": unary_service(
            pb.GetModelMetadataRequest, methods.metadata
        ),
        f"/{MODEL_SERVICE}/GetModelStatus": unary_service(pb.GetModelStatusRequest, methods.status),
    }
