"""Labels and annotations that a user puts on pods and children; what belongs to the operator is refused."""

from typing import Annotated

from pydantic import Field

from modelservice_operator.api.types.base import LABEL_KEYS, ApiModel, Labels, limited
from modelservice_operator.api.types.rules import keys_must_not_contain

_RESERVED_KEY = r"^(([^/]*\.)?modelservice\.dev/|app\.kubernetes\.io/managed-by$|pod-template-hash$)"
_RESERVED_ANNOTATION = r"^(([^/]*\.)?modelservice\.dev/|prometheus\.io/(scrape|port|path|scheme)$)"


_NO_OWN_LABELS = keys_must_not_contain(
    _RESERVED_KEY,
    "labels of modelservice.dev/, app.kubernetes.io/managed-by and pod-template-hash belong to "
    "the operator: choose other keys",
)
Annotations = Annotated[dict[str, Annotated[str, limited(4096)]], Field(max_length=64), LABEL_KEYS]


class PodMetadata(ApiModel):
    """Labels and annotations for the pods. The ModelService's own are never copied."""

    labels: Annotated[Labels, _NO_OWN_LABELS] = Field(default_factory=dict)
    """Labels."""
    annotations: Annotated[
        Annotations,
        keys_must_not_contain(
            _RESERVED_ANNOTATION,
            "annotations of modelservice.dev/ and prometheus.io/ are set by the operator: choose other keys",
        ),
    ] = Field(default_factory=dict)
    """Annotations."""


_OWN_CHILD_ANNOTATION = (
    r"^(([^/]*\.)?modelservice\.dev/|(deployment|kubectl)\.kubernetes\.io/|meta\.helm\.sh/"
    r"|argocd\.argoproj\.io/tracking-id$)"
)


class ChildMetadata(ApiModel):
    """Labels and annotations for the objects that are made for a ModelService, not for the pods."""

    labels: Annotated[Labels, _NO_OWN_LABELS] = Field(default_factory=dict)
    """Labels, such as those that a policy or a cost tool demands. Selectors never use them."""
    annotations: Annotated[
        Annotations,
        keys_must_not_contain(
            _OWN_CHILD_ANNOTATION,
            "annotations of modelservice.dev/, deployment.kubernetes.io/, kubectl.kubernetes.io/ and "
            "meta.helm.sh/, and Argo CD's tracking-id, say who manages an object: choose other keys",
        ),
    ] = Field(default_factory=dict)
    """Annotations."""
