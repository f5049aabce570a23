"""The kinds of objects that the operator reads or writes, and their addresses in the API. Pure data.

URLs are built from this table instead of by discovery: fewer calls at start-up, and no right to more than
what is listed here. Any module may import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from modelservice_operator.facts.labels import GROUP, MANAGED_BY_SELECTOR, STANDBY_SELECTOR, VERSION


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One kind in one API version."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`group/version`, or only the version in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """Path below the server's address of a collection, an object or a subresource."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/" + "/".join(quote(part, safe="") for part in parts)


MODEL_SERVICES = Resource(group=GROUP, version=VERSION, plural="modelservices", kind="ModelService")
MODEL_RUNTIMES = Resource(
    group=GROUP, version=VERSION, plural="modelruntimes", kind="ModelRuntime", namespaced=False
)
RUNTIME_ROLLOUTS = Resource(
    group=GROUP, version=VERSION, plural="runtimerollouts", kind="RuntimeRollout", namespaced=False
)

CONTROLLER_REVISIONS = Resource(
    group="apps", version="v1", plural="controllerrevisions", kind="ControllerRevision"
)
DEPLOYMENTS = Resource(group="apps", version="v1", plural="deployments", kind="Deployment")
JOBS = Resource(group="batch", version="v1", plural="jobs", kind="Job")
SERVICES = Resource(group="", version="v1", plural="services", kind="Service")
SERVICE_ACCOUNTS = Resource(group="", version="v1", plural="serviceaccounts", kind="ServiceAccount")
AUTOSCALERS = Resource(
    group="autoscaling", version="v2", plural="horizontalpodautoscalers", kind="HorizontalPodAutoscaler"
)
DISRUPTION_BUDGETS = Resource(
    group="policy", version="v1", plural="poddisruptionbudgets", kind="PodDisruptionBudget"
)
NETWORK_POLICIES = Resource(
    group="networking.k8s.io", version="v1", plural="networkpolicies", kind="NetworkPolicy"
)
ENDPOINT_SLICES = Resource(
    group="discovery.k8s.io", version="v1", plural="endpointslices", kind="EndpointSlice"
)

INGRESSES = Resource(group="networking.k8s.io", version="v1", plural="ingresses", kind="Ingress")
GATEWAY_API = "gateway.networking.k8s.io"
HTTP_ROUTES = Resource(group=GATEWAY_API, version="v1", plural="httproutes", kind="HTTPRoute")
GRPC_ROUTES = Resource(group=GATEWAY_API, version="v1", plural="grpcroutes", kind="GRPCRoute")
GATEWAYS = Resource(group=GATEWAY_API, version="v1", plural="gateways", kind="Gateway")
GATEWAY_CLASSES = Resource(
    group=GATEWAY_API,
    version="v1",
    plural="gatewayclasses",
    kind="GatewayClass",
    namespaced=False,
)

PODS = Resource(group="", version="v1", plural="pods", kind="Pod")
NODES = Resource(group="", version="v1", plural="nodes", kind="Node", namespaced=False)
CORE_EVENTS = Resource(group="", version="v1", plural="events", kind="Event")
EVENTS = Resource(group="events.k8s.io", version="v1", plural="events", kind="Event")
API_GROUPS = Resource(group="", version="v1", plural="apigroups", kind="APIGroupList", namespaced=False)
"""For counting: it has an address of its own."""
LEASES = Resource(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease")

CHILDREN = (
    CONTROLLER_REVISIONS,
    SERVICE_ACCOUNTS,
    NETWORK_POLICIES,
    DEPLOYMENTS,
    SERVICES,
    AUTOSCALERS,
    DISRUPTION_BUDGETS,
    ENDPOINT_SLICES,
    JOBS,
)
"""What a ModelService may own. Each is listed, watched and written."""

SCALED_OBJECTS = Resource(group="keda.sh", version="v1alpha1", plural="scaledobjects", kind="ScaledObject")

CLAIM_TEMPLATES = Resource(
    group="resource.k8s.io", version="v1", plural="resourceclaimtemplates", kind="ResourceClaimTemplate"
)

OPTIONAL_CHILDREN = (SCALED_OBJECTS, CLAIM_TEMPLATES, INGRESSES, HTTP_ROUTES, GRPC_ROUTES)
"""The same, only where the cluster serves them, and lets us."""
GATEWAY_KINDS = (GATEWAY_CLASSES, GATEWAYS)
"""What routes lead from, where that is served: other people's, read and never written."""
ROUTE_KINDS = frozenset({INGRESSES.kind, HTTP_ROUTES.kind, GRPC_ROUTES.kind})
"""Children by which requests come from outside."""

CHILD_BY_KIND = {resource.kind: resource for resource in (*CHILDREN, *OPTIONAL_CHILDREN)}


def selector_of(resource: Resource) -> str:
    """Return the label selector by which children of this kind are found, empty for what is no child.

    Kubernetes gives the slices that it makes the labels of their Services, so those labels do not tell ours.
    """
    if resource is ENDPOINT_SLICES:
        return STANDBY_SELECTOR
    return MANAGED_BY_SELECTOR if resource.kind in CHILD_BY_KIND else ""
