"""Every label, annotation and manager name that the operator writes or reads, and how one is read. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "modelservice.dev"
VERSION = "v1alpha1"
"""The version that we read, write and refer to: the only one that every release serves."""
API_VERSION = f"{GROUP}/{VERSION}"
SERVED_VERSIONS = ("v1beta1", VERSION)
"""Those in which people may write, the preferred one first; all have the same fields."""

NAME = f"{GROUP}/name"
"""Identity of a service's pods; part of selectors, fixed for ever."""
EVALUATION = f"{GROUP}/evaluation"
"""On pods of the Job that evaluates a revision, in place of `NAME`: no Service leads to them."""
REVISION = f"{GROUP}/revision"
"""Identity of a revision's pods; part of selectors, fixed for ever."""
EXPLAINER = f"{GROUP}/explainer"
"""Identity of the pods of a service's explainer, which are none of the service's; fixed for ever."""
DEFAULT_RUNTIME = f"{GROUP}/is-default-runtime"
"""Annotation on the ModelRuntime that serves ModelServices without `spec.runtime.ref`."""
INSTALLED_RUNTIME = f"{GROUP}/installed-runtime"
"""Annotation that the operator gives the ModelRuntimes of its own installation, which are no objects."""

GATEWAY_FEATURES = f"{GROUP}/supported-features"
"""Annotation of a GatewayClass: the features that its Gateways support, in place of those that it lists."""
ROLLOUT_ACTION = f"{GROUP}/rollout-action"
"""Annotation on a ModelService: what people ask of its rollout."""

UPDATE_RUNTIME = f"{GROUP}/update-runtime"
"""Annotation on a ModelService: the image of its ModelRuntime that its pods shall get."""

FLEET_ACTION = f"{GROUP}/fleet-action"
"""Annotation on a RuntimeRollout: what people ask of it."""

LEAVE_REVISION = f"{GROUP}/leave-revision"
"""Annotation on a ModelService: the revision of a newer release that may go, and its fields with it."""

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "modelservice-operator"
"""Value of `app.kubernetes.io/managed-by` and the field manager of every write."""
MANAGED_BY_SELECTOR = f"{MANAGED_BY}={MANAGER}"

SLICE_OF = "kubernetes.io/service-name"
"""Label of an EndpointSlice: the Service whose clients it leads."""
SLICE_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
"""Label of an EndpointSlice: whose it is. Kubernetes' own controller leaves those of others alone."""
STANDBY_MANAGER = f"activator.{GROUP}"
"""Its value in slices that lead clients to the activator."""
STANDBY_SELECTOR = f"{SLICE_MANAGED_BY}={STANDBY_MANAGER}"


def is_default_runtime(runtime: Mapping[str, Any]) -> bool:
    """Whether a ModelRuntime, as read, serves ModelServices without `spec.runtime.ref`."""
    annotations = runtime["metadata"].get("annotations") or {}
    return bool(annotations.get(DEFAULT_RUNTIME) == "true")


def is_installed_runtime(runtime: Mapping[str, Any]) -> bool:
    """Whether a ModelRuntime comes from a file of the operator's installation."""
    return INSTALLED_RUNTIME in (runtime["metadata"].get("annotations") or {})
