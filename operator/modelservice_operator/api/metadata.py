"""Labels and annotations that a user puts on pods; what belongs to the operator is refused."""

from typing import Annotated

from pydantic import Field

from modelservice_operator.api.base import LABEL_KEYS, ApiModel, Labels, limited
from modelservice_operator.api.rules import keys_must_not_contain

_RESERVED_KEY = r"^(([^/]*\.)?modelservice\.dev/|app\.kubernetes\.io/managed-by$|pod-template-hash$)"
_RESERVED_ANNOTATION = r"^(([^/]*\.)?modelservice\.dev/|prometheus\.io/(scrape|port|path|scheme)$)"


class PodMetadata(ApiModel):
    """Labels and annotations for the pods. The ModelService's own are never copied."""

    labels: Annotated[
        Labels,
        keys_must_not_contain(
            _RESERVED_KEY,
            "labels of modelservice.dev/, app.kubernetes.io/managed-by and pod-template-hash belong to "
            "the operator: choose other keys",
        ),
    ] = Field(default_factory=dict)
    """Labels."""
    annotations: Annotated[
        dict[str, Annotated[str, limited(4096)]],
        Field(max_length=64),
        LABEL_KEYS,
        keys_must_not_contain(
            _RESERVED_ANNOTATION,
            "annotations of modelservice.dev/ and prometheus.io/ are set by the operator: choose other keys",
        ),
    ] = Field(default_factory=dict)
    """Annotations."""
