"""A stand-in for the image `python:3.11-slim`, made from Debian packages where no registry can be reached.

The project's Dockerfiles take it as BASE_IMAGE; whoever has a registry builds them with the real one.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import debian
from hack.cluster.commands import run_with_progress
from hack.cluster.errors import ClusterError
from hack.cluster.ociarchive import write_oci_archive
from hack.cluster.packages import BUILD_PROGRAMS, ensure_packages
from hack.cluster.paths import cache_directory, file_lock
from hack.cluster.progress import Progress

# Debian 12, because its Python is 3.11.
SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv")
NAME = "localhost/modelservice-base"
BUILD_SECONDS = 75
# What debootstrap says; nearly one line for each step with a package.
EXPECTED_LINES = 584
IMAGE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What the slim images leave out as well.
UNNEEDED = (
    "usr/share/doc/*",
    "usr/share/info/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "var/cache/apt/*",
    "var/lib/apt/lists/*",
    "var/log/*",
)

# In a mount namespace of its own, because debootstrap mounts /proc inside the new system.
_MAKE = """
set -e
cd "$0"
debootstrap --variant=minbase --include="$1" "$2" system "$3"
cp "$4" system/etc/ssl/certs/ca-certificates.crt
cp pip.conf system/etc/pip.conf
cp apt.conf system/etc/apt/apt.conf.d/90machine
ln -s /usr/bin/python3 system/usr/local/bin/python
ln -s /usr/bin/python3 system/usr/local/bin/python3
(cd system && rm -rf $5)
tar --numeric-owner --sort=name -C system -cf layer.tar .
"""


@dataclass(frozen=True)
class BaseImage:
    """The image's name with its tag, and the OCI archive that holds it."""

    name: str
    archive: Path


def find_base_image() -> BaseImage:
    """Return the base image, made once into the cache; the tag says from what it was made."""
    if os.geteuid() != 0:
        raise ClusterError(
            "making the base image needs root (debootstrap): run as root, or give --base-image"
        )
    ensure_packages(BUILD_PROGRAMS)
    recipe = {
        "suite": SUITE,
        "mirror": debian.find_mirror(SUITE),
        "packages": ",".join(PACKAGES),
        "script": _MAKE,
        "unneeded": " ".join(UNNEEDED),
        "apt": debian.apt_configuration(),
        "pip": debian.pip_configuration(),
        "certificates": hashlib.sha256(debian.CA_BUNDLE.read_bytes()).hexdigest(),
    }
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]
    name = f"{NAME}:{key}"
    archive = cache_directory() / "images" / f"base-{key}.oci.tar"
    if not archive.exists():
        with file_lock(archive.parent / ".base.lock", "another run is making the base image; waiting"):
            if not archive.exists():
                _make(name, archive, recipe)
    return BaseImage(name, archive)


def _make(name: str, archive: Path, recipe: Mapping[str, str]) -> None:
    progress = Progress("making the base image from Debian packages", BUILD_SECONDS)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".base-") as temporary:
        directory = Path(temporary)
        (directory / "pip.conf").write_text(recipe["pip"])
        (directory / "apt.conf").write_text(recipe["apt"])
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MAKE, str(directory)]
        options = [recipe[key] for key in ("packages", "suite", "mirror")]
        arguments = [*options, str(debian.CA_BUNDLE), recipe["unneeded"]]
        run_with_progress(
            [*command, *arguments], progress, lambda lines: min(len(lines) / EXPECTED_LINES, 0.95)
        )
        layer = directory / "layer.tar"
        config = {"Env": [f"PATH={IMAGE_PATH}", "LANG=C.UTF-8"], "Cmd": ["python3"]}
        write_oci_archive(directory / "image.tar", name, layer, config)
        (directory / "image.tar").rename(archive)
    progress.finish()
