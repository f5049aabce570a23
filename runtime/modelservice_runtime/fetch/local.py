"""Checks a file that is already there: a mounted volume, or a path given to the command line."""

import stat
from pathlib import Path

from modelservice_runtime.fetch.destination import FileDigest, digest_stream
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.transfer import check_digest
from modelservice_runtime.fetch.uri import FileUri


def verify_file(
    uri: FileUri, sha256: str | None, max_bytes: int, root: Path | None
) -> tuple[Path, FileDigest]:
    """Digest a file in place.

    Args:
        uri: the file.
        sha256: the expected digest, if any.
        max_bytes: the largest allowed size.
        root: the directory the file must lie in after links are resolved (a mounted ConfigMap is made
            of links); None for anywhere.

    Raises:
        FetchError: ``ModelNotFound``, ``InvalidUri``, ``ModelTooLarge`` or ``DigestMismatch``.
    """
    path = Path(uri.path)
    try:
        resolved = path.resolve(strict=True)
        if root is not None and not resolved.is_relative_to(root.resolve()):
            raise FetchError(
                FetchReason.INVALID_URI, f"{path} leads outside {root}; name a file of the volume itself"
            )
        info = resolved.stat()
        if not stat.S_ISREG(info.st_mode):
            raise FetchError(FetchReason.INVALID_URI, f"{path} is not a file; name the model file itself")
        if info.st_size > max_bytes:
            raise FetchError(
                FetchReason.MODEL_TOO_LARGE,
                f"{path} has {info.st_size} bytes, allowed are {max_bytes}; raise spec.model.maxSize",
            )
        with resolved.open("rb") as file:
            digest = digest_stream(file)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise FetchError(
            FetchReason.MODEL_NOT_FOUND,
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}; "
            "check the path in spec.model.storageUri",
        ) from error
    check_digest(sha256, digest.sha256, path.name)
    return path, digest
