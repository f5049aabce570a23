"""The failures a fetch can end with.

Every failure that leaves the package is a `FetchError`: a reason the operator copies into a
condition and one sentence with the cause and the remedy. `TransientError` never leaves it.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum


class FetchReason(StrEnum):
    """Why a fetch ended; the `reason` of the termination message."""

    FETCHED = "Fetched"
    INVALID_URI = "InvalidUri"
    ADDRESS_FORBIDDEN = "AddressForbidden"
    CREDENTIALS_MISSING = "CredentialsMissing"
    ACCESS_DENIED = "AccessDenied"
    MODEL_NOT_FOUND = "ModelNotFound"
    DIGEST_MISMATCH = "DigestMismatch"
    MODEL_TOO_LARGE = "ModelTooLarge"
    DOWNLOAD_FAILED = "DownloadFailed"
    DECRYPTION_FAILED = "DecryptionFailed"
    DISK_FULL = "DiskFull"
    ARCHIVE_REFUSED = "ArchiveRefused"


class FetchError(Exception):
    """A fetch that failed for good.

    Attributes:
        reason: the machine-readable reason.
        message: one sentence: what happened and what to do.

    """

    def __init__(self, reason: FetchReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class AbsentError(FetchError):
    """The source answered that there is no such file."""


class NotBesideError(FetchError):
    """A file that has to lie beside the model is not there."""


class OutOfTimeError(FetchError):
    """The time for the whole fetch is over; a thread of it may still be at work."""


class NotTlsError(FetchError):
    """The peer answered a TLS handshake with something that is not TLS."""


class TransientError(Exception):
    """A failure worth another attempt.

    Attributes:
        message: what happened.
        retry_after_seconds: how long the server asked to wait, if it did.

    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class UnreachableError(TransientError):
    """Nobody answered at all: no name, no connection. Whether it passes is not ours to wait for."""


@contextmanager
def translated_os_errors(action: str) -> Iterator[None]:
    """Turn an `OSError` of the local disk into a `FetchError`.

    Args:
        action: what was being done, for the message, for example "write model.onnx".

    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(action) from error
        raise FetchError(
            FetchReason.DOWNLOAD_FAILED,
            f"cannot {action}: {error.strerror or error}; check that the destination is a writable directory",
        ) from error


def disk_full(action: str) -> FetchError:
    """The failure of a full disk during `action`."""
    return FetchError(
        FetchReason.DISK_FULL,
        f"cannot {action}: no space left on the volume; "
        "raise the volume's size or spec.model.maxSize, or free space on the node",
    )
