"""Build the images as a release does, and tell their digests and sizes: `python -m hack.release.images`.

Their files have the time of the commit, so that the same commit gives the same digest, whoever builds it.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from hack.cluster.baseimage import find_base_image
from hack.cluster.buildah import Buildah, open_buildah
from hack.cluster.images import BASE_IMAGE_ARGUMENT, BUILD_SECONDS, make_arguments
from hack.cluster.paths import REPOSITORY
from hack.cluster.progress import Progress
from hack.demo.images import IMAGES, Image

_UNITS = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3}


@dataclass(frozen=True)
class Built:
    """An image in the local storage."""

    name: str
    digest: str
    """Of its manifest: `sha256:` and 64 digits."""
    size_bytes: int
    """Of its layers, unpacked."""
    labels: dict[str, str]


def build(image: Image, time_seconds: int, *, use_cache: bool = True) -> Built:
    """Build one image whose files all have this time (seconds since 1970)."""
    base = find_base_image()
    name = f"localhost/release/{image.name}:{time_seconds}"
    arguments = {BASE_IMAGE_ARGUMENT: base.name}
    options = ["--timestamp", str(time_seconds), *([] if use_cache else ["--no-cache"])]
    with open_buildah() as buildah:
        if not buildah.has_image(base.name):
            buildah.run("pull", "--quiet", f"oci-archive:{base.archive}:{base.name}")
        progress = Progress(f"building image {image.name}", BUILD_SECONDS)
        command = make_arguments(image.make_build(REPOSITORY), arguments, name)
        buildah.build([*options, *command], progress)
        progress.finish()
        return _inspect(buildah, name)


def _inspect(buildah: Buildah, name: str) -> Built:
    found = json.loads(buildah.run("inspect", "--type", "image", name))
    (listed,) = json.loads(buildah.run("images", "--json", name))
    return Built(
        name=name,
        digest=found["FromImageDigest"],
        size_bytes=read_size(listed["size"]),
        labels=found["OCIv1"]["config"]["Labels"],
    )


def read_size(text: str) -> int:
    """Return the bytes of what buildah calls `184 MB`."""
    number, unit = text.split()
    return round(float(number) * _UNITS[unit.upper()])


def commit_seconds() -> int:
    """Return the time of the newest commit."""
    command = ["git", "-C", str(REPOSITORY), "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main(names: Sequence[str]) -> None:
    """Build the named images, or all, and print a line for each."""
    for image in IMAGES:
        if not names or image.name in names:
            built = build(image, commit_seconds())
            print(f"{built.name} {built.digest} {built.size_bytes / 1e6:.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
