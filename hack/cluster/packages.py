"""Installs the Debian packages that a node and image builds need, when they are missing."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from hack.cluster.errors import ClusterError
from hack.cluster.paths import cache_directory, file_lock
from hack.cluster.progress import format_duration

# Program (searched on PATH and where Debian keeps system programs) or file -> package.
NODE_PROGRAMS = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "nft": "nftables",
    "docker-registry": "docker-registry",
    "ip": "iproute2",
}
NAMESPACE_PROGRAMS = {"ip": "iproute2"}
BUILD_PROGRAMS = {
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
COMPILER_PROGRAMS = {"gcc": "gcc", "/usr/include/stdio.h": "libc6-dev"}

# Debian's interface to forbid that a package starts its service: exit status 101 (invoke-rc.d(8)).
POLICY_FILE = Path("/usr/sbin/policy-rc.d")
POLICY = "#!/bin/sh\nexit 101\n"


def search_path() -> str:
    """Return PATH with the directories of system programs, which a user's PATH may lack."""
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))


def find_program(program: str) -> str | None:
    """Return the path of an installed program, or None."""
    return shutil.which(program, path=search_path())


def missing_packages(programs: Mapping[str, str]) -> list[str]:
    """Return the packages of those programs and files that are not there."""
    return sorted({package for program, package in programs.items() if not _is_present(program)})


def ensure_packages(programs: Mapping[str, str]) -> None:
    """Install what is missing; raise ClusterError where that takes root or apt-get and there is none."""
    packages = missing_packages(programs)
    if not packages:
        return
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if os.geteuid() != 0:
        raise ClusterError(f"missing Debian packages: as root, run `{command}`")
    if shutil.which("apt-get") is None:
        raise ClusterError(f"missing programs, and no apt-get to install them: this needs Debian ({command})")
    with file_lock(
        cache_directory() / ".packages.lock", "another run is installing packages; waiting for that"
    ):
        packages = missing_packages(programs)
        if packages:
            _install(packages)


def _install(packages: list[str]) -> None:
    print(f"installing Debian packages: {' '.join(packages)}", flush=True)
    started = time.monotonic()
    arguments = ["install", "--yes", "--no-install-recommends", *packages]
    with _services_stay_stopped():
        result = _apt_get(arguments)
        if result.returncode != 0:
            # Most often the package lists are missing or old, as on a fresh machine.
            _apt_get(["update"])
            result = _apt_get(arguments)
    if result.returncode != 0:
        lines = "\n".join(f"  {line}" for line in result.stdout.splitlines()[-20:])
        raise ClusterError(f"apt-get install {' '.join(packages)} failed; the last lines were:\n{lines}")
    print(f"installed in {format_duration(time.monotonic() - started)}", flush=True)


def _apt_get(arguments: Iterable[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@contextlib.contextmanager
def _services_stay_stopped() -> Iterator[None]:
    """Keep containerd and docker-registry of the packages from starting: clusters run their own."""
    if POLICY_FILE.exists():
        yield
        return
    POLICY_FILE.write_text(POLICY)
    POLICY_FILE.chmod(0o755)
    try:
        yield
    finally:
        POLICY_FILE.unlink(missing_ok=True)


def _is_present(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else find_program(program) is not None
