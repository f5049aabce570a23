"""Encrypted files: what opens them, and everything that is refused."""

import base64
import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelservice_runtime.fetch.age import (
    IDENTITY_KEYS,
    decrypt,
    encrypt,
    is_encrypted,
    new_identity,
    parse_identities,
    parse_recipient,
    read_identities,
)
from modelservice_runtime.fetch.errors import FetchError, FetchReason, disk_full

PRIVATE, PUBLIC = new_identity()
OTHER, OTHER_PUBLIC = new_identity()
PIECE_BYTES = 64 * 1024 + 16
"""A piece of the payload, with what authenticates it."""
DATA = os.urandom(200_000)


def seal(data: bytes, *recipients: str) -> bytes:
    sealed = io.BytesIO()
    encrypt(io.BytesIO(data), sealed, [parse_recipient(one) for one in recipients or (PUBLIC,)])
    return sealed.getvalue()


SEALED = seal(DATA)


def unseal(sealed: bytes, private: str = PRIVATE) -> bytes:
    plain = io.BytesIO()
    decrypt(io.BytesIO(sealed), plain, parse_identities(private), "m.onnx")
    return plain.getvalue()


def payload_start(sealed: bytes) -> int:
    """Where the pieces begin: after the header's last line and a nonce of 16 bytes."""
    return sealed.index(b"\n", sealed.index(b"\n--- ") + 1) + 1 + 16


@pytest.mark.parametrize(
    "private", [PRIVATE, f"# created: today\n\n{OTHER}\n{PRIVATE}\n"], ids=["one", "two"]
)
@pytest.mark.parametrize("data", [b"", b"x", DATA, bytes(64 * 1024)])
def test_decrypt_gives_what_was_encrypted(data, private):
    assert unseal(seal(data), private) == data
    assert is_encrypted(seal(data))


def test_decrypt_file_for_several_keys_is_opened_by_each():
    sealed = seal(DATA, PUBLIC, OTHER_PUBLIC)
    assert unseal(sealed, PRIVATE) == unseal(sealed, OTHER) == DATA


START = payload_start(SEALED)
PIECES = [SEALED[at : at + PIECE_BYTES] for at in range(START, len(SEALED), PIECE_BYTES)]


@pytest.mark.parametrize(
    ("sealed", "text"),
    [
        (SEALED[:-1], "changed or cut off"),
        (SEALED[: START + PIECE_BYTES], "changed or cut off"),  # exactly between two pieces
        (SEALED[:START], "changed or cut off"),
        (SEALED[: START - 17], "no key.*or store the file again"),  # in the header
        (SEALED + b"x", "changed or cut off"),
        (SEALED[:START] + PIECES[1] + PIECES[0] + b"".join(PIECES[2:]), "changed or cut off"),
        (SEALED[:START] + b"".join(PIECES[1:]), "changed or cut off"),
        (SEALED[:START] + PIECES[0] + b"".join(PIECES), "changed or cut off"),
        (SEALED[:START] + seal(DATA)[payload_start(seal(DATA)) :], "changed or cut off"),
        (DATA, "is not encrypted"),
        (b"", "is not encrypted"),
        (b"age-encryption.org/v1", "no key"),
    ],
)
def test_decrypt_of_anything_else_is_refused(sealed, text):
    with pytest.raises(FetchError, match=text) as caught:
        unseal(sealed)
    assert caught.value.reason is FetchReason.DECRYPTION_FAILED


@settings(max_examples=60)
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_decrypt_one_changed_byte_anywhere_is_refused_and_what_came_before_it_is_true(place, change):
    changed = bytearray(SEALED)
    changed[place] ^= change
    plain = io.BytesIO()
    with pytest.raises(FetchError) as caught:
        decrypt(io.BytesIO(bytes(changed)), plain, parse_identities(PRIVATE), "m.onnx")
    assert caught.value.reason is FetchReason.DECRYPTION_FAILED
    assert DATA.startswith(plain.getvalue())


STANZAS = b"-> X25519 AAAA\nAAAA\n"


@pytest.mark.parametrize("is_armored", [False, True], ids=["binary", "armored"])
@pytest.mark.parametrize("end", [b"", b"--- AAAA\n"], ids=["endless", "ended"])
def test_decrypt_long_header_is_refused_before_the_library_reads_it(monkeypatch, is_armored, end):
    monkeypatch.setattr("pyrage.decrypt_io", lambda *_: pytest.fail("the library was asked"))
    sealed = b"age-encryption.org/v1\n" + STANZAS * 8000 + end
    with pytest.raises(FetchError, match="65536 bytes") as caught:
        unseal(armor(sealed) if is_armored else sealed)
    assert caught.value.reason is FetchReason.DECRYPTION_FAILED


def armor(sealed: bytes) -> bytes:
    text = base64.b64encode(sealed)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return b"\n".join(
        [b"-----BEGIN AGE ENCRYPTED FILE-----", *lines, b"-----END AGE ENCRYPTED FILE-----", b""]
    )


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=len)
def test_decrypt_takes_files_in_armor(data):
    assert unseal(armor(seal(data, *[PUBLIC, OTHER_PUBLIC] * 100))) == data


def test_decrypt_with_another_key_names_the_field():
    with pytest.raises(FetchError, match=r"no key in the Secret of spec\.model\.decryption opens m\.onnx"):
        unseal(SEALED, OTHER)


def test_decrypt_onto_a_full_disk_says_so():
    class Full:
        def write(self, data: bytes) -> None:
            raise disk_full("write m.onnx")

    with pytest.raises(FetchError) as caught:
        decrypt(io.BytesIO(SEALED), Full(), parse_identities(PRIVATE), "m.onnx")
    assert caught.value.reason is FetchReason.DISK_FULL


@pytest.mark.parametrize("name", IDENTITY_KEYS)
def test_read_identities_takes_the_file_under_the_names_that_people_give_it(tmp_path, name):
    (tmp_path / name).write_text(f"# public key: {PUBLIC}\n{PRIVATE}\n")
    assert [str(one) for one in read_identities(tmp_path)] == [PRIVATE]


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("other", PRIVATE.encode(), "no private key under key.txt"),
        ("key.txt", b"", "no private key"),
        ("key.txt", PUBLIC.encode(), "not what age-keygen writes"),
        ("key.txt", PRIVATE[:-1].encode(), "not what age-keygen writes"),
        ("key.txt", b"\xff", "not what age-keygen writes"),
        ("key.txt", (PRIVATE + "\n").encode() * 101, "not what age-keygen writes"),
    ],
    ids=["other-name", "empty", "public", "cut", "binary", "too-many"],
)
def test_read_identities_of_a_secret_without_a_key_says_what_belongs_there(tmp_path, name, text, hint):
    (tmp_path / name).write_bytes(text)
    with pytest.raises(FetchError, match=hint) as caught:
        read_identities(tmp_path)
    assert caught.value.reason is FetchReason.CREDENTIALS_MISSING
    assert "AGE-SECRET-KEY" not in caught.value.message
