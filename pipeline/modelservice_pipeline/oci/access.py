"""How a registry is reached: the flags that all commands share, and where logins are looked for."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

USERNAME, PASSWORD = "MODELSERVICE_REGISTRY_USERNAME", "MODELSERVICE_REGISTRY_PASSWORD"


@dataclass(frozen=True)
class Access:
    """How a registry is reached.

    Attributes:
        ca_file: Certificates in PEM that are trusted beside the system's.
        plain_http: Whether a registry that is not on this machine may speak without TLS.
        chunk_bytes: The most bytes of one request that uploads; 0 for a blob in one request.
    """

    ca_file: Path | None = None
    plain_http: bool = False
    chunk_bytes: int = 0


def add_access_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group(
        "registry",
        f"Logins come from {USERNAME} and {PASSWORD}, else from Docker's or Podman's configuration "
        "(docker login), with its credential helpers.",
    )
    group.add_argument(
        "--registry-ca", type=Path, metavar="FILE", help="certificates in PEM to trust beside the system's"
    )
    group.add_argument(
        "--plain-http",
        action="store_true",
        help="allow a registry without TLS; one on this machine is without",
    )


def add_chunk_argument(parser: argparse.ArgumentParser) -> None:
    """Add the flag that cuts uploads."""
    parser.add_argument(
        "--chunk-size",
        type=int,
        default=0,
        metavar="MIB",
        help="upload in requests of so many MiB, where a proxy limits them; default: one request a file",
    )


def access_of(arguments: argparse.Namespace) -> Access:
    """Return what the flags say."""
    chunk_mib = max(0, getattr(arguments, "chunk_size", 0))
    return Access(arguments.registry_ca, arguments.plain_http, chunk_mib << 20)


def config_files() -> tuple[Path, ...]:
    """Return where logins may lie, the first that exists counts: as Docker and Podman look for them."""
    folder = os.environ.get("DOCKER_CONFIG")
    run_time = os.environ.get("XDG_RUNTIME_DIR")
    named = os.environ.get("REGISTRY_AUTH_FILE")
    files = [
        Path(named) if named else None,
        Path(folder) / "config.json" if folder else Path("~/.docker/config.json").expanduser(),
        Path(run_time) / "containers/auth.json" if run_time else None,
    ]
    return tuple(path for path in files if path is not None)
