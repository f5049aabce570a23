"""Rules of a spec about execution providers and the GPU that they run on."""

from typing import Any

from modelservice_operator.api.types.rules import Rule
from modelservice_operator.facts.gpus import AMD, INTEL, NVIDIA, Vendor


def _asked(spec: Any) -> tuple[str, ...]:
    return spec.runtime.execution_providers or ()


def _cel_of_any(providers: tuple[str, ...]) -> str:
    """Whether one of the providers is listed."""
    listed = "self.runtime.executionProviders"
    found = " || ".join(f"'{one}' in {listed}" for one in providers)
    return f"has(self.runtime) && has({listed}) && ({found})"


def _cel_of_resource(pattern: str) -> str:
    """Whether the GPU's resource matches; a claim names none, its class may be of any vendor."""
    return f"has(self.gpu) && has(self.gpu.resource) && self.gpu.resource.matches('^{pattern}/')"


def _is_of(spec: Any, vendors: tuple[Vendor, ...]) -> bool:
    return spec.gpu is not None and spec.gpu.claim is None and spec.gpu.vendor in vendors


def _needs_gpu(provider: str) -> Rule:
    return Rule(
        cel=f"has(self.gpu) || !({_cel_of_any((provider,))})",
        message=f"{provider} needs a GPU: add spec.gpu, or leave {provider} out",
        check=lambda spec: spec.gpu is not None or provider not in _asked(spec),
        field_path=".runtime.executionProviders",
    )


def _nvidia_alone() -> Rule:
    """Stored before there were other vendors: such a service may go on, with the same resource."""
    other, before = "(amd|gpu.intel).com", "oldSelf.value()"
    return Rule(
        cel=f"!({_cel_of_any(NVIDIA.providers)} && {_cel_of_resource(other)})",
        # No more of the old value than an equality: its strings have no bound, which makes CEL too costly.
        stored_cel=(
            f"has({before}.gpu) && has({before}.gpu.resource) && {before}.gpu.resource == self.gpu.resource"
        ),
        message="CUDA and TensorRT need an NVIDIA GPU: use MIGraphX on AMD's, OpenVINO on Intel's",
        check=lambda spec: not _is_of(spec, (AMD, INTEL)) or not {*NVIDIA.providers} & {*_asked(spec)},
        field_path=".runtime.executionProviders",
        spares_stored=True,
    )


def _amd_alone() -> Rule:
    resource = _cel_of_resource("amd.com")
    return Rule(
        cel=f"!({_cel_of_any(AMD.providers)}) || (has(self.gpu) && has(self.gpu.claim)) || ({resource})",
        message="MIGraphX and ROCm need an AMD GPU: set spec.gpu.resource to amd.com/gpu",
        check=lambda spec: (
            not {*AMD.providers} & {*_asked(spec)}
            or (spec.gpu is not None and spec.gpu.claim is not None)
            or _is_of(spec, (AMD,))
        ),
        field_path=".runtime.executionProviders",
    )


def _intel_alone() -> Rule:
    """Without a GPU OpenVINO runs on the CPU."""
    resource = _cel_of_resource("gpu.intel.com")
    return Rule(
        cel=f"!({_cel_of_any(INTEL.providers)}) || !has(self.gpu) || has(self.gpu.claim) || ({resource})",
        message="OpenVINO would leave this GPU idle: set spec.gpu.resource to gpu.intel.com/xe or i915",
        check=lambda spec: (
            not {*INTEL.providers} & {*_asked(spec)}
            or spec.gpu is None
            or spec.gpu.claim is not None
            or _is_of(spec, (INTEL,))
        ),
        field_path=".runtime.executionProviders",
    )


PROVIDER_RULES = (
    _needs_gpu("CUDA"),
    _needs_gpu("TensorRT"),
    _nvidia_alone(),
    _amd_alone(),
    _intel_alone(),
    Rule(
        cel="!has(self.runtime) || !has(self.runtime.cuda) || has(self.gpu)",
        message="CUDA needs a GPU: add spec.gpu, or leave cuda out",
        check=lambda spec: spec.gpu is not None or spec.runtime.cuda is None,
        field_path=".runtime.cuda",
    ),
    Rule(
        cel=(
            "!has(self.gpu) || !has(self.gpu.sharing) || !has(self.runtime) || !has(self.runtime.cuda)"
            " || !has(self.runtime.cuda.memoryLimit)"
        ),
        message="spec.gpu.sharing.memoryLimit says it already: leave memoryLimit out here",
        check=lambda spec: (
            spec.gpu is None
            or spec.gpu.sharing is None
            or spec.runtime.cuda is None
            or spec.runtime.cuda.memory_limit is None
        ),
        field_path=".runtime.cuda.memoryLimit",
    ),
)
