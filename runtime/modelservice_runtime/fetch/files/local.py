"""Checks a file that is already there: in a mounted volume, or given to the command line.

Nothing is copied, so there is no limit of its size.
"""

import stat
from pathlib import Path

from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.files.destination import FileDigest, digest_stream
from modelservice_runtime.fetch.files.transfer import check_digest
from modelservice_runtime.fetch.uri import FileUri
from modelservice_runtime.machine.readable import describe_denial


def verify_file(uri: FileUri, sha256: str | None, root: Path | None) -> tuple[Path, FileDigest]:
    """Digest a file in place.

    Args:
        uri: the file.
        sha256: the expected digest, if any.
        root: the directory the file must lie in after links are resolved (a mounted ConfigMap is made
            of links); None for anywhere.

    Raises:
        FetchError: `ModelNotFound`, `AccessDenied`, `InvalidUri` or `DigestMismatch`.

    """
    path = Path(uri.path)
    try:
        resolved = path.resolve(strict=True)
        if root is not None and not resolved.is_relative_to(root.resolve()):
            raise FetchError(
                FetchReason.INVALID_URI, f"{path} leads outside {root}; name a file of the volume itself"
            )
        if not stat.S_ISREG(resolved.stat().st_mode):
            raise FetchError(FetchReason.INVALID_URI, f"{path} is not a file; name the model file itself")
        with resolved.open("rb") as file:
            digest = digest_stream(file)
    except PermissionError as error:
        raise FetchError(FetchReason.ACCESS_DENIED, describe_denial(path)) from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise FetchError(
            FetchReason.MODEL_NOT_FOUND,
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}; "
            "check the path in spec.model.storageUri",
        ) from error
    check_digest(sha256, digest.sha256, path.name)
    return path, digest
