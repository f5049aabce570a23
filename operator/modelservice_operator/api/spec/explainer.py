"""`spec.explainer`: a pod beside the model's that says why it answers as it does."""

from typing import Annotated, Literal

from modelservice_operator.api.spec.resources import Resources
from modelservice_operator.api.types.base import ApiModel, NoneIfEmpty, between
from modelservice_operator.api.types.rules import Rule


class ExplainerSpec(ApiModel):
    """Answers POST /v1/models/NAME:explain at the Service NAME-explainer, by asking the model's Service."""

    method: Literal["lime", "shap", "exact"] = "lime"
    """The method where a request names none. Default: lime."""
    replicas: Annotated[int, between(0, 100)] = 1
    """How many pods. Default: 1."""
    resources: Annotated[Resources | None, NoneIfEmpty] = None
    """CPU and memory of a pod. Default: requests of 100m and 128Mi, a limit of 512Mi."""


EXPLAINER_RULE = Rule(
    cel="!has(self.explainer) || !has(self.tls) || !has(self.tls.clientCASecretName)",
    message=(
        "the explainer has no client certificate to ask the model with, and cannot pass on that of whoever "
        "asks it: remove tls.clientCASecretName, or remove explainer"
    ),
    check=lambda self: self.explainer is None or self.tls is None or self.tls.client_ca_secret_name is None,
    field_path=".explainer",
)
"""Of the whole spec."""
