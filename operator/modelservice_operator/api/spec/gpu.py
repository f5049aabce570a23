"""GPUs: which device each pod gets, named by its resource, its kind, its memory, or a claim."""

from typing import Annotated, Literal

from pydantic import Field

from modelservice_operator.api.types.base import (
    DNS_SUBDOMAIN,
    LABEL_NAME,
    ApiModel,
    LabelValue,
    ObjectName,
    Quantity,
    between,
    quantity_between,
)
from modelservice_operator.api.types.rules import Rule, must_match, must_not_contain
from modelservice_operator.facts.gpus import (
    DEFAULT_RESOURCE,
    MEMORY_RESOURCES,
    MIG_PROFILE,
    NVIDIA,
    Vendor,
    domain_of,
    mig_resource,
    vendor_of_class,
    vendor_of_resource,
)

_ONE_GPU = Rule(
    cel="self <= 1",
    message=(
        "expected 1: a server runs its model on one GPU, and further ones would stand idle; "
        "for more throughput raise spec.replicas, so that each GPU has a pod of its own"
    ),
    check=lambda count: count <= 1,
    spares_stored=True,
)
Product = Annotated[LabelValue, Field(min_length=1)]
_PRODUCT = must_match(LABEL_NAME, "expected a label's value such as NVIDIA-L4")


class GpuSharing(ApiModel):
    """A GPU that NVIDIA's device plugin gives to several pods."""

    strategy: Literal["TimeSlicing", "MPS"] | None = None
    """How it is shared. Default: either way."""
    memory_limit: Quantity
    """The most memory of this pod's CUDA arena, such as 8Gi, libraries not counted."""

    rules = (quantity_between("memoryLimit", "memory_limit", "1Mi", "1Ti", "from 1Mi to 1Ti, such as 8Gi"),)


class CelSelector(ApiModel):
    """An expression of a device's attributes and capacity."""

    expression: Annotated[str, Field(min_length=1, max_length=1024)]
    """True where the device will do."""


class DeviceSelector(ApiModel):
    """A condition, as in Kubernetes' DeviceRequest."""

    cel: CelSelector
    """In CEL."""


class DeviceClaim(ApiModel):
    """A device by dynamic resource allocation."""

    device_class_name: ObjectName
    """A DeviceClass, such as gpu.nvidia.com."""
    selectors: Annotated[tuple[DeviceSelector, ...], Field(max_length=8)] = ()
    """Conditions that must all hold."""


def _excludes(field: str, others: tuple[str, ...], message: str) -> Rule:
    """`field` says by itself what the `others` would say."""

    def is_said(self: "GpuSpec", name: str) -> bool:
        value = getattr(self, _ATTRIBUTES.get(name, name))
        return value not in (None, DEFAULT_RESOURCE)

    said = (_CEL_OF_RESOURCE if name == "resource" else f"has(self.{name})" for name in others)
    return Rule(
        cel=f"!has(self.{field}) || !({' || '.join(said)})",
        message=message,
        check=lambda self: not is_said(self, field) or not any(is_said(self, name) for name in others),
        field_path=f".{field}",
    )


_ATTRIBUTES = {"migProfile": "mig_profile"}
_CEL_OF_RESOURCE = f"(has(self.resource) && self.resource != '{DEFAULT_RESOURCE}')"


class GpuSpec(ApiModel):
    """GPUs for each pod."""

    count: Annotated[int, between(1, 64), _ONE_GPU]
    """How many: 1, for a server runs its model on one GPU. More GPUs are used by more replicas."""
    resource: Annotated[
        str,
        Field(max_length=253),
        must_match(f"{DNS_SUBDOMAIN}/{LABEL_NAME}", "expected an extended resource such as nvidia.com/gpu"),
        must_not_contain(
            r"^([^/]*\.)?kubernetes\.io/",
            "kubernetes.io/ is reserved for Kubernetes: expected an extended resource such as nvidia.com/gpu",
        ),
    ] = DEFAULT_RESOURCE
    """The extended resource, such as amd.com/gpu or gpu.intel.com/xe. Default: nvidia.com/gpu."""
    product: Product | None = None
    """The GPU's product, the value of the node label nvidia.com/gpu.product, such as NVIDIA-L4."""
    products: (
        Annotated[
            tuple[Annotated[str, Field(max_length=63), _PRODUCT], ...], Field(min_length=1, max_length=8)
        ]
        | None
    ) = None
    """Products that will do, the preferred one first."""
    memory: Quantity | None = None
    """The least memory, such as 20Gi, by the node label nvidia.com/gpu.memory or amd.com/gpu.vram. A card has
    less than its name says: an L4 of 24 GB has 22Gi."""
    mig_profile: (
        Annotated[
            str,
            Field(max_length=16),
            must_match(MIG_PROFILE, "expected a profile such as 1g.10gb, as nvidia-smi names it"),
        ]
        | None
    ) = None
    """A MIG slice, such as 1g.10gb."""
    sharing: GpuSharing | None = None
    """Other pods use the GPU too. Where the device plugin renames it, resource is nvidia.com/gpu.shared."""
    claim: DeviceClaim | None = None
    """A device by dynamic resource allocation, not as an extended resource."""

    rules = (
        _excludes("product", ("products",), "products says it already: leave product out"),
        _excludes(
            "migProfile",
            ("resource", "memory", "sharing"),
            "a MIG profile says all of it: leave resource, memory and sharing out",
        ),
        _excludes(
            "claim",
            ("resource", "product", "products", "memory", "migProfile", "sharing"),
            "a claim chooses by class and selectors: leave everything else but count out",
        ),
        Rule(
            cel=(
                "!has(self.memory) || !has(self.resource) || "
                f"self.resource in [{', '.join(repr(one) for one in MEMORY_RESOURCES)}]"
            ),
            message="only the memory of nvidia.com/gpu and amd.com/gpu is known: leave memory out",
            check=lambda self: self.memory is None or self.resource in MEMORY_RESOURCES,
            field_path=".memory",
        ),
        Rule(
            cel="!has(self.sharing) || !has(self.resource) || self.resource.startsWith('nvidia.com/')",
            message="only NVIDIA's GPUs are shared: leave sharing out",
            check=lambda self: self.sharing is None or domain_of(self.resource) == NVIDIA.domain,
            field_path=".sharing",
        ),
        quantity_between("memory", "memory", "1Gi", "1Ti", "from 1Gi to 1Ti, such as 20Gi"),
    )

    @property
    def extended_resource(self) -> str | None:
        """The resource that the pod asks for; None where it has a claim."""
        if self.claim is not None:
            return None
        return self.resource if self.mig_profile is None else mig_resource(self.mig_profile)

    @property
    def vendor(self) -> Vendor | None:
        """Who makes the device; None where that is not known."""
        if self.claim is not None:
            return vendor_of_class(self.claim.device_class_name)
        return vendor_of_resource(self.resource)
