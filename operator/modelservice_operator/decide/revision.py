"""Revisions: the user-visible inputs that make one, its name, and the snapshot that is kept of it.

A revision's ControllerRevision holds the snapshot; its Deployment is always applied from there. So an
operator with another pod builder changes no running pod: only new revisions are built by it. Pure.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from modelservice_operator.api import to_canonical
from modelservice_operator.facts import names
from modelservice_operator.facts.gpus import (
    DEFAULT_RESOURCE,
    NVIDIA,
    vendor_of_class,
    vendor_of_resource,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.api import GpuSpec, ModelRuntime, ModelServiceSpec

INPUTS = (
    "model",
    "runtime",
    "resources",
    "gpu",
    "scheduling",
    "podMetadata",
    "imagePullSecrets",
    "serviceAccountName",
    "terminationGracePeriodSeconds",
    "server",
    "env",
    "batching",
    "generation",
    "auth",
    "tls",
)
"""The fields of a spec that make a revision.

Secrets are in it by name: a changed one is read by the pods that run.
Not among them: replicas, autoscaling, rollout, childMetadata and networkPolicy change no pod.
"""

_SAY_SOMETHING_EMPTY = frozenset({"generation"})
"""Fields whose empty object is another wish than none."""


class RecordedResources(msgspec.Struct, frozen=True, omit_defaults=True):
    """CPU and memory, as recorded from a ModelRuntime."""

    requests: dict[str, str] = {}
    limits: dict[str, str] = {}


class RecordedSecret(msgspec.Struct, frozen=True):
    """A Secret with registry credentials, as recorded from a ModelRuntime."""

    name: str


class RecordedRuntime(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A ModelRuntime as it was when a revision was made."""

    requested: str | None = None
    """`spec.runtime.ref` of the ModelService; None for the default."""
    name: str
    image: str
    gpu_image: str | None = None
    gpu_images: dict[str, str] = {}
    resources: RecordedResources = RecordedResources()
    execution_providers: tuple[str, ...] = ()
    intra_op_threads: int | None = None
    image_pull_secrets: tuple[RecordedSecret, ...] = ()

    def image_for(self, domain: str | None) -> str:
        """Return the image for GPUs of this domain (see `image_domain`); None is for pods without one."""
        if domain is None:
            return self.image
        return self.gpu_images.get(domain) or self.gpu_image or self.image

    def image_field(self, domain: str | None) -> str:
        """Return which field of the ModelRuntime that image comes from."""
        if domain in self.gpu_images:
            return "gpuImages"
        return "gpuImage" if domain is not None and self.gpu_image else "image"


class Snapshot(msgspec.Struct, frozen=True):
    """All that there is to know about a revision: `data` of its ControllerRevision."""

    inputs: dict[str, Any]
    """The canonical user-visible inputs (see `INPUTS`)."""
    runtime: RecordedRuntime
    template: dict[str, Any]
    """The pod template, applied as it is."""


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """A revision of one ModelService. `recorded` says that its ControllerRevision exists already."""

    name: str
    number: int
    snapshot: Snapshot
    recorded: bool


def revision_inputs(spec: ModelServiceSpec) -> dict[str, Any]:
    """Return the canonical inputs: unset and default fields are left out."""
    canonical = to_canonical(spec)
    # It says who changes the image, not which one it is: no pod differs by it.
    canonical.get("runtime", {}).pop("pin", None)
    return {
        field: canonical[field]
        for field in INPUTS
        if canonical.get(field) or (field in _SAY_SOMETHING_EMPTY and field in canonical)
    }


def image_domain(gpu: GpuSpec | None) -> str | None:
    """Return the domain of a GPU's vendor, by which a runtime's image is chosen; None without a GPU.

    Vendors that are not known share the image for NVIDIA.
    """
    return None if gpu is None else (gpu.vendor or NVIDIA).domain


def recorded_domain(snapshot: Snapshot) -> str | None:
    """Return the same of a revision that is recorded."""
    return image_domain_in(snapshot.inputs)


def image_domain_in(fields: Mapping[str, Any]) -> str | None:
    """Return the same of inputs, or of a valid spec, as it is written."""
    gpu = fields.get("gpu")
    if not gpu:
        return None
    resource, claim = gpu.get("resource") or DEFAULT_RESOURCE, gpu.get("claim")
    vendor = vendor_of_class(claim["deviceClassName"]) if claim else vendor_of_resource(resource)
    return (vendor or NVIDIA).domain


def is_encrypted(snapshot: Snapshot) -> bool:
    """Return whether clients speak TLS to the revision's pods."""
    return bool(snapshot.inputs.get("tls"))


def record_runtime(requested: str | None, runtime: ModelRuntime) -> RecordedRuntime:
    """Return what a revision keeps of a ModelRuntime that was asked for as `requested`."""
    return msgspec.convert(
        {**to_canonical(runtime.spec), "requested": requested, "name": runtime.metadata.name},
        RecordedRuntime,
    )


def revision_name(inputs: dict[str, Any], runtime: RecordedRuntime) -> str:
    """Return the name of the revision with these inputs on this runtime."""
    recorded = msgspec.to_builtins(runtime)
    # How the runtime was asked for is part of the inputs; here it would only say it twice.
    recorded.pop("requested", None)
    return names.revision_name({"inputs": inputs, "runtime": recorded})


def snapshot_data(snapshot: Snapshot) -> dict[str, Any]:
    """Return `data` of the ControllerRevision."""
    data: dict[str, Any] = msgspec.to_builtins(snapshot)
    return data


@lru_cache(maxsize=256)
def parse_snapshot(data: bytes) -> Snapshot | None:
    """Return the snapshot, None for data that is not one: somebody else's, or damaged."""
    try:
        return msgspec.json.decode(data, type=Snapshot)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None
