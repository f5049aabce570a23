"""Builds the project's images and pushes them to a cluster's registry, and only what changed."""

import hashlib
import json
import shlex
import stat
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hack.cluster.baseimage import find_base_image
from hack.cluster.buildah import Buildah, open_buildah
from hack.cluster.cluster import Cluster
from hack.cluster.errors import ClusterError
from hack.cluster.node import REGISTRY
from hack.cluster.paths import REPOSITORY
from hack.cluster.progress import Progress

KEPT_SECONDS = 6 * 3600.0
BUILD_SECONDS = 120
BASE_IMAGE_ARGUMENT = "BASE_IMAGE"


@dataclass(frozen=True)
class ImageBuild:
    """What to build: `name` is `REPOSITORY:TAG` in the registry, `base_image` overrides the stand-in."""

    name: str
    dockerfile: Path
    context: Path = REPOSITORY
    arguments: Mapping[str, str] = field(default_factory=dict)
    base_image: str = ""


def build_and_push(cluster: Cluster, build: ImageBuild) -> str:
    """Build an image where its inputs changed, push it where the cluster lacks it; return its full name."""
    local = build_image(build)
    push_image(cluster, local, build.name)
    return f"{REGISTRY}/{build.name}"


def build_image(build: ImageBuild) -> str:
    """Build an image and return its name in buildah's storage, which ends in the hash of its inputs."""
    base = None if build.base_image else find_base_image()
    base_name = base.name if base else build.base_image
    arguments = {**build.arguments, BASE_IMAGE_ARGUMENT: base_name}
    repository = build.name.partition(":")[0]
    local = f"localhost/build/{repository}:{hash_inputs(build, arguments)}"
    with open_buildah() as buildah:
        if buildah.has_image(local):
            return local
        buildah.remove_leftovers()
        if base and not buildah.has_image(base.name):
            buildah.run("pull", "--quiet", f"oci-archive:{base.archive}:{base.name}")
        progress = Progress(f"building image {build.name}", BUILD_SECONDS)
        buildah.build(make_arguments(build, arguments, local), progress)
        progress.finish()
        _remove_older(buildah, local)
    return local


def push_image(cluster: Cluster, local: str, name: str) -> None:
    """Push an image of buildah's storage to the cluster's registry, unless that image is there already."""
    pushed = cluster.paths.root / "pushed.json"
    known = json.loads(pushed.read_text()) if pushed.exists() else {}
    if known.get(name) == local:
        return
    target = f"docker://{cluster.registry}/{name}"
    with open_buildah() as buildah:
        # Compressing would only cost time: nothing leaves the machine.
        buildah.run("push", "--quiet", "--tls-verify=false", "--disable-compression", local, target)
    pushed.write_text(json.dumps({**known, name: local}))


def load_archive(cluster: Cluster, archive: Path, name: str) -> str:
    """Push the image in a file (`podman save`, `docker save` or OCI archive) to the cluster's registry."""
    transport = "oci-archive" if _is_oci_archive(archive) else "docker-archive"
    with open_buildah() as buildah:
        local = buildah.run("pull", "--quiet", f"{transport}:{archive}").strip()
    push_image(cluster, local, name)
    return f"{REGISTRY}/{name}"


def hash_inputs(build: ImageBuild, arguments: Mapping[str, str]) -> str:
    """Return a hash of all that decides what the image holds: Dockerfile, arguments, every file it copies."""
    digest = hashlib.sha256(json.dumps(dict(arguments), sort_keys=True).encode())
    text = build.dockerfile.read_text()
    digest.update(text.encode())
    for source in copied_sources(text):
        for path in sorted(_expand(build.context, source)):
            mode = stat.S_IMODE(path.stat().st_mode)
            digest.update(f"\0{path.relative_to(build.context)}\0{mode:o}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def copied_sources(dockerfile: str) -> list[str]:
    """Return the paths and patterns that COPY and ADD take from the build's context."""
    sources: list[str] = []
    for line in dockerfile.replace("\\\n", " ").splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction.upper() not in {"COPY", "ADD"}:
            continue
        words = json.loads(rest) if rest.lstrip().startswith("[") else shlex.split(rest)
        flags = [word for word in words if word.startswith("--")]
        if not any(flag.startswith("--from=") for flag in flags):
            sources += [word for word in words if not word.startswith("--")][:-1]
    return sources


def _expand(context: Path, source: str) -> Iterator[Path]:
    for match in context.glob(source.strip("/") or "."):
        for path in match.rglob("*") if match.is_dir() else [match]:
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def make_arguments(build: ImageBuild, arguments: Mapping[str, str], local: str) -> list[str]:
    """Return what `buildah build` is told to make the image `local`."""
    return [
        *("--isolation", "chroot", "--layers", "--network", "host", "--tag", local),
        *(["--pull-never"] if not build.base_image else []),
        *(part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")),
        *("--file", str(build.dockerfile), str(build.context)),
    ]


def _remove_older(buildah: Buildah, newest: str) -> None:
    images = json.loads(buildah.run("images", "--json"))
    outdated = find_outdated(images, newest, time.time())
    if outdated:
        buildah.run("rmi", *outdated)


def find_outdated(images: Sequence[Mapping[str, Any]], newest: str, now: float) -> list[str]:
    """Return the names of old builds of the image `newest`, from the answer of `buildah images --json`.

    Checkouts share the storage: a build of the last hours may be the one that another run pushes next.
    """
    repository = newest.rpartition(":")[0]
    return [
        name
        for image in images
        if image["created"] < now - KEPT_SECONDS
        for name in image["names"] or ()
        if name.startswith(f"{repository}:") and name != newest
    ]


def _is_oci_archive(archive: Path) -> bool:

    try:
        with tarfile.open(archive) as tar:
            return "oci-layout" in tar.getnames()
    except (OSError, tarfile.TarError) as error:
        raise ClusterError(f"{archive} is not an image archive: {error}") from error
