"""ModelRuntime: the images that serve models, and defaults for the ModelServices that use them."""

from typing import Annotated

from pydantic import Field

from modelservice_operator.api.spec.resources import ExecutionProviders, IntraOpThreads, Resources
from modelservice_operator.api.types.base import ApiModel, NoneIfEmpty
from modelservice_operator.api.types.kubernetes import ObjectMeta, PullSecrets
from modelservice_operator.api.types.oci import DIGEST, HOST, REPOSITORY, TAG
from modelservice_operator.api.types.rules import keys_must_match, must_match

Image = Annotated[
    str,
    Field(min_length=1, max_length=512),
    must_match(
        f"({HOST}/)?{REPOSITORY}({TAG})?({DIGEST})?",
        "expected an image such as registry.example/team/runtime:1.2 or runtime@sha256:DIGEST",
    ),
]

GpuImages = Annotated[
    dict[str, Image],
    Field(min_length=1, max_length=2),
    keys_must_match(
        "amd\\.com|gpu\\.intel\\.com", "expected amd.com or gpu.intel.com: NVIDIA's image is gpuImage"
    ),
]


class ModelRuntimeSpec(ApiModel):
    """The images, and defaults for ModelServices that use this runtime."""

    image: Image
    """The image for ModelServices without a GPU; used as written, tag or digest."""
    gpu_image: Image | None = None
    """The image for ModelServices with spec.gpu. Without it they do not run: Ready says so."""
    gpu_images: GpuImages | None = None
    """Images for GPUs of AMD (amd.com) and Intel (gpu.intel.com), which gpuImage does not serve."""
    resources: Annotated[Resources | None, NoneIfEmpty] = None
    """CPU and memory, for what the spec.resources of a ModelService leaves out."""
    execution_providers: ExecutionProviders | None = None
    """For ModelServices with spec.gpu and without executionProviders; those without a GPU run on CPU."""
    intra_op_threads: IntraOpThreads | None = None
    """Threads for one inference, for ModelServices without intraOpThreads."""
    image_pull_secrets: PullSecrets = ()
    """Registry credentials for these images: Secrets of each ModelService's own namespace."""


class ModelRuntime(ApiModel):
    """An image that serves models, for the whole cluster.

    Changing or deleting one restarts nothing: every revision keeps the image that it was made with.
    """

    metadata: ObjectMeta
    spec: ModelRuntimeSpec
