"""The two images of the project: where they are built from and how the manifests name them."""

from dataclasses import dataclass
from pathlib import Path

from hack.cluster.images import ImageBuild, hash_inputs


@dataclass(frozen=True)
class Image:
    """One image of the project."""

    repository: str
    """As the install manifests write it."""
    name: str
    """In the demo's registry."""
    dockerfile: Path
    """From the root."""

    def make_build(self, root: Path) -> ImageBuild:
        """Return what to build; the tag is decided by the content."""
        return ImageBuild(name=f"{self.name}:demo", dockerfile=root / self.dockerfile, context=root)

    def compute_tag(self, root: Path) -> str:
        """Return a hash of everything that goes into the image, so that the same is never built twice."""
        return hash_inputs(self.make_build(root), {})


OPERATOR = Image("modelservice/operator", "modelservice-operator", Path("operator/Dockerfile"))
RUNTIME = Image("modelservice/runtime", "modelservice-runtime", Path("runtime/Dockerfile"))
IMAGES = (OPERATOR, RUNTIME)
