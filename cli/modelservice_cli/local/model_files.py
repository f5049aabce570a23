"""From a manifest's storageUri to a file on this machine: verified in place, or fetched into a cache."""

import atexit
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelservice_cli.errors import CommandError
from modelservice_cli.local.manifest import LocalService

_DEFAULT_MAX_BYTES = 10 * 1024**3
_CLUSTER_SCHEMES = ("pvc://", "configmap://")
_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux has a file system in memory, for all users


@dataclass(frozen=True, slots=True)
class SecretDirectories:
    """Files of what a cluster has in Secrets: the store's credentials, and the keys of an encrypted model."""

    credentials: Path | None = None
    decryption: Path | None = None


def locate_model(
    service: LocalService, given_path: Path | None, secrets: SecretDirectories, cache: Path
) -> Path:
    """Return the model's path: `given_path` where there is one, else the cached or fetched file.

    Raises CommandError; a wrong sha256 is refused either way. An encrypted model is in clear in memory only,
    for as long as this process lives.
    """
    if given_path is not None:
        if service.sha256 is not None and not service.is_encrypted:
            _verify(service, given_path)
        return given_path
    path = _find_or_fetch(service, secrets, cache)
    # What generates text is more than its graph.
    return path.parent if service.is_generative else path


def _find_or_fetch(service: LocalService, secrets: SecretDirectories, cache: Path) -> Path:
    if service.storage_uri.startswith(_CLUSTER_SCHEMES):
        raise CommandError(f"{service.storage_uri} exists in a cluster only; give the file with --model PATH")
    directory = cache / _cache_key(service)
    if service.is_encrypted:
        return _decrypt(service, secrets, directory)
    cached = directory / "model.onnx"
    if service.sha256 is not None and cached.is_file() and not service.is_generative:
        _verify(service, cached)
        return cached
    directory.mkdir(parents=True, exist_ok=True)
    return _fetch(service, service.storage_uri, directory, secrets)


def default_cache_directory(environment: Mapping[str, str]) -> Path:
    """The user's cache by the XDG base directory specification."""
    base = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME", "/tmp")) / ".cache")  # noqa: S108
    return Path(base) / "modelservice" / "models"


def _cache_key(service: LocalService) -> str:
    identity = f"{service.storage_uri}\n{service.sha256 or ''}"
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def _verify(service: LocalService, path: Path) -> None:
    if service.is_generative and path.is_dir():
        path /= "model.onnx"
    if not path.is_file():
        raise CommandError(f"{path} must be a file, because spec.model.sha256 is the digest of a file")
    _fetch(service, path.resolve().as_uri(), path.parent, SecretDirectories())


def _decrypt(service: LocalService, secrets: SecretDirectories, scratch: Path) -> Path:
    if secrets.decryption is None:
        raise CommandError(
            "the model is encrypted: give the directory of its key.txt with --decryption-dir DIR, or the "
            "file in clear with --model PATH"
        )
    if not _MEMORY.is_dir():
        raise CommandError(
            f"there is no directory in memory ({_MEMORY}) for a decrypted model: give the file in clear with "
            "--model PATH"
        )
    directory = Path(tempfile.mkdtemp(prefix="modelservice-", dir=_MEMORY))
    atexit.register(_remove, directory, os.getpid())
    return _fetch(service, service.storage_uri, directory, secrets, scratch)


def _remove(directory: Path, owner: int) -> None:
    if os.getpid() == owner:  # and not one of its children
        shutil.rmtree(directory, ignore_errors=True)


def _fetch(
    service: LocalService, uri: str, directory: Path, secrets: SecretDirectories, scratch: Path | None = None
) -> Path:
    # Imported here: its HTTP client takes half a second, and a local file without a digest needs none of it.
    from modelservice_runtime.fetch import Decryption, FetchError, FetchRequest, fetch_model
    from modelservice_runtime.fetch.http.addresses import AddressPolicy
    from modelservice_runtime.fetch.log import LOGGER, make_handler

    request = FetchRequest(
        uri=uri,
        destination=directory,
        max_bytes=service.max_size_bytes or _DEFAULT_MAX_BYTES,
        sha256=service.sha256,
        generative=service.is_generative,
        credentials_directory=secrets.credentials,
        decryption=Decryption(secrets.decryption, scratch) if scratch and secrets.decryption else None,
        allow_file=True,
        # The user's own machine: a registry or store on it is as good as any other.
        addresses=AddressPolicy(allow_loopback=True),
        environment=os.environ,
    )
    handler = make_handler(request.redactor)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        return fetch_model(request).model_path
    except FetchError as error:
        raise CommandError(f"{error.reason}: {error.message}") from None
    finally:
        LOGGER.removeHandler(handler)


def cache_directory() -> Path:
    """The cache of the user who runs the command."""
    return default_cache_directory(os.environ)
