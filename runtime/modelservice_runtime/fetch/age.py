"""Encrypted files in the format of age (https://age-encryption.org/v1), by its Rust implementation.

A file is encrypted for public keys and read with any of their private ones. Its content is authenticated in
pieces of 64 KiB, whose place and end are part of what is checked: pieces that were changed, exchanged, left
out or added are refused, and none is given out unchecked.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyrage

from modelservice_runtime.fetch.errors import FetchError, FetchReason

IDENTITY_KEYS = ("key.txt", "keys.txt", "age.agekey")
"""Keys of the Secret: what `age-keygen` writes, under the names that people give the file."""
_ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----"
_BEGINNINGS = (b"age-encryption.org/v1", _ARMOR)
# The library reads a header in time that grows with the square of its length; 64 KiB are some 650 keys.
_MAX_HEADER_BYTES = 64 * 1024
_END_OF_HEADER = b"\n--- "
_MAX_FILE_BYTES = 1024 * 1024  # Kubernetes' own limit for a Secret
_MAX_IDENTITIES = 100
_WRITTEN_BYTES = 1024 * 1024

Identity = Any
"""A private key; the library has no types."""
Recipient = Any
"""A public key."""


class Sink(Protocol):
    """Takes what was decrypted."""

    def write(self, data: bytes) -> None:
        """Take the next bytes; raises FetchError."""
        ...


def is_encrypted(head: bytes) -> bool:
    """Whether a file that begins with these bytes is an encrypted one."""
    return head.startswith(_BEGINNINGS)


def new_identity() -> tuple[str, str]:
    """Make a key; returns the private and the public one as text."""
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def parse_recipient(text: str) -> Recipient:
    """Read a public key (`age1...`); raises ValueError."""
    try:
        return pyrage.x25519.Recipient.from_str(text.strip())
    except pyrage.RecipientError as error:
        raise ValueError("expected a public key, as in age1...") from error


def parse_identities(text: str) -> list[Identity]:
    """Read private keys, one a line; empty lines and comments are passed over. Raises ValueError."""
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if len(keys) > _MAX_IDENTITIES:
        raise ValueError(f"expected at most {_MAX_IDENTITIES} private keys")
    try:
        return [pyrage.x25519.Identity.from_str(key) for key in keys]
    except pyrage.IdentityError as error:
        raise ValueError("expected private keys, as in AGE-SECRET-KEY-1..., one a line") from error


def read_identities(directory: Path) -> list[Identity]:
    """Read the private keys of a mounted Secret.

    Raises:
        FetchError: `CredentialsMissing`.

    """
    found: list[Identity] = []
    for name in IDENTITY_KEYS:
        try:
            with (directory / name).open("rb") as file:
                found += parse_identities(file.read(_MAX_FILE_BYTES).decode())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _no_key(f"{name} of it cannot be read: {error.strerror}") from error
        except ValueError as error:
            # The text is a secret: what Python says of it is not shown.
            raise _no_key(f"{name} of it is not what age-keygen writes") from error
    if not found:
        raise _no_key(f"it has no private key under {' or '.join(IDENTITY_KEYS)}")
    return found


def encrypt(source: BinaryIO, target: BinaryIO, recipients: Sequence[Recipient]) -> None:
    """Encrypt a stream for all who have a private key of one of the public ones; raises OSError."""
    pyrage.encrypt_io(source, target, recipients)


def decrypt(source: BinaryIO, sink: Sink, identities: Iterable[Identity], name: str) -> None:
    """Decrypt a stream into `sink`; blocks.

    Args:
        source: the encrypted bytes.
        sink: gets no byte that was not checked; what it has is not all of it where this fails.
        identities: private keys, any of which may be the right one.
        name: of the file, for messages.

    Raises:
        FetchError: `DecryptionFailed`, or what `sink` raises.
        OSError: the source cannot be read.

    """
    head = source.read(len(max(_BEGINNINGS, key=len)))
    source.seek(0)
    if not is_encrypted(head):
        raise decryption_failed(
            f"{name} is not encrypted, and spec.model.decryption says that it is; store the encrypted file "
            "(modelservice encrypt), or remove spec.model.decryption"
        )
    if not _has_short_header(source):
        raise decryption_failed(
            f"the header of {name} has no end within {_MAX_HEADER_BYTES} bytes; encrypt it for fewer keys "
            "(modelservice encrypt)"
        )
    writer = _Writer(sink)
    try:
        pyrage.decrypt_io(source, writer, list(identities))
        writer.finish()
    except pyrage.DecryptError as error:
        raise decryption_failed(
            f"no key in the Secret of spec.model.decryption opens {name} ({error}); put the private key of "
            "one that it was encrypted for into the Secret, or store the file again where it was cut off"
        ) from error
    except OSError as error:
        if writer.failure is not None:
            raise writer.failure from None
        if error.errno is not None:  # of the disk
            raise
        raise decryption_failed(
            f"{name} was changed or cut off after it was encrypted ({error}); store it again"
        ) from error


def _has_short_header(source: BinaryIO) -> bool:
    """Whether a header ends soon, or the file does; `source` is at its beginning afterwards."""
    head = source.read(2 * _MAX_HEADER_BYTES)
    is_all = len(head) <= _MAX_HEADER_BYTES
    source.seek(0)
    if head.startswith(_ARMOR):
        head = _decode_armor(head)
    return is_all or _END_OF_HEADER in head[:_MAX_HEADER_BYTES]


def _decode_armor(head: bytes) -> bytes:
    """The beginning of what is written in Base64, as far as it is."""
    text = b"".join(head.split()[4:]).partition(b"-")[0]  # the first line has four words
    try:
        return base64.b64decode(text[: len(text) // 4 * 4], validate=True)
    except binascii.Error:
        return b""


def decryption_failed(message: str) -> FetchError:
    """The failure of a file that the keys do not open, or that is not what was encrypted."""
    return FetchError(FetchReason.DECRYPTION_FAILED, message)


class _Writer:
    """What the library writes to: it writes little at a time, and hands on errors of the system only."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held = bytearray()
        self.failure: FetchError | None = None

    def write(self, data: bytes) -> int:
        self._held += data
        if len(self._held) >= _WRITTEN_BYTES:
            self.finish()
        return len(data)

    def finish(self) -> None:
        """Hand on what is held."""
        held, self._held = bytes(self._held), bytearray()
        try:
            self._sink.write(held)
        except FetchError as error:
            self.failure = error
            raise OSError("not taken") from error

    def flush(self) -> None:
        """Nothing is kept back."""


def _no_key(why: str) -> FetchError:
    return FetchError(
        FetchReason.CREDENTIALS_MISSING,
        f"the Secret of spec.model.decryption cannot be used: {why}; put the output of age-keygen, or of "
        f"modelservice encrypt --new-key, under {IDENTITY_KEYS[0]}",
    )
