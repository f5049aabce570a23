"""Encrypted models from every kind of source: in clear only in the destination, as stored in the cache."""

import asyncio
import hashlib
import io
import threading
from typing import Any

import pytest
from tests.integration.fetch.fetch_hubs import Hub, HubRepository
from tests.integration.fetch.fetch_models import WEIGHTS, make_model, make_tar
from tests.integration.fetch.fetch_servers import Fetcher

from modelservice_cli.commands import run
from modelservice_runtime.fetch import Decryption
from modelservice_runtime.fetch.age import encrypt, new_identity, parse_recipient
from modelservice_runtime.fetch.errors import FetchReason
from modelservice_runtime.fetch.files import encrypted
from modelservice_runtime.fetch.files.cache import ModelCache

MODEL, NAMED = make_model(), make_model("model.onnx.data")
PRIVATE, PUBLIC = new_identity()


def seal(data: bytes, public: str = PUBLIC) -> bytes:
    sealed = io.BytesIO()
    encrypt(io.BytesIO(data), sealed, [parse_recipient(public)])
    return sealed.getvalue()


SEALED, SEALED_NAMED, SEALED_WEIGHTS = seal(MODEL), seal(NAMED), seal(WEIGHTS)
SHA256 = hashlib.sha256(SEALED).hexdigest()
PLAIN = {"model.onnx": NAMED, "model.onnx.data": WEIGHTS}


class Keyed:
    """A fetcher with a key; nothing may be left of what was encrypted."""

    def __init__(self, fetcher: Fetcher) -> None:
        self.fetcher = fetcher
        self.keys = fetcher.directory / "keys"
        self.scratch = fetcher.directory / "scratch"
        self.keys.mkdir()
        (self.keys / "key.txt").write_text(PRIVATE)

    @property
    def changes(self) -> dict[str, Any]:
        return {"decryption": Decryption(self.keys, self.scratch)}

    async def fetch(self, uri: str, **changes: Any) -> Any:
        result = await self.fetcher.fetch(uri, **{**self.changes, **changes})
        assert list(self.scratch.iterdir()) == []
        return result

    async def fail(self, uri: str, **changes: Any) -> Any:
        error = await self.fetcher.fail(uri, **{**self.changes, **changes})
        assert not self.scratch.exists() or list(self.scratch.iterdir()) == []
        return error

    @property
    def files(self) -> dict[str, bytes]:
        return self.fetcher.files


@pytest.fixture
def keyed(fetcher: Fetcher) -> Keyed:
    return Keyed(fetcher)


async def test_what_the_command_encrypts_of_a_text_model_is_fetched(keyed, https, tmp_path):
    beside = {"genai_config.json": b"{}", "tokenizer.json": b"[1]", "chat_template.jinja": b"{{ 1 }}"}
    beside["tokenizer_config.json"] = b"{2}"
    files = {**PLAIN, **beside}
    (tmp_path / "chat").mkdir()
    for name, data in files.items():
        (tmp_path / "chat" / name).write_bytes(data)
    assert run(["encrypt", str(tmp_path / "chat/model.onnx"), "-r", PUBLIC, "--output", str(tmp_path)]) == 0

    for path in tmp_path.glob("*.age"):
        https.serve(f"/{path.name}", path.read_bytes())
    https.serve("/tokenizer.json.age", beside["tokenizer.json"])
    error = await keyed.fail(https.url("/model.onnx.age"), generative=True)
    assert error.reason is FetchReason.DECRYPTION_FAILED

    https.serve("/tokenizer.json.age", (tmp_path / "tokenizer.json.age").read_bytes())
    await keyed.fetch(https.url("/model.onnx.age"), generative=True)
    assert keyed.files == files


@pytest.mark.parametrize("path", ["/spam/model.onnx.age", "/spam/model.onnx"])
async def test_fetch_https_encrypted_model_and_its_data_are_decrypted(keyed, https, path):
    suffix = ".age" if path.endswith(".age") else ""
    https.serve(path, SEALED_NAMED)
    https.serve(f"/spam/model.onnx.data{suffix}", SEALED_WEIGHTS)
    result = await keyed.fetch(https.url(path))
    assert keyed.files == PLAIN
    assert result.sha256 == hashlib.sha256(NAMED).hexdigest()  # of what the server loads
    assert result.size_bytes == len(NAMED) + len(WEIGHTS)


@pytest.mark.parametrize("uri", ["s3://models/sealed/", "s3://models/sealed/model.onnx.age"])
async def test_fetch_s3_encrypted_model_below_a_prefix(keyed, store, uri):
    store.put("/models/sealed/README.md", b"read me")
    store.put("/models/sealed/model.onnx.age", SEALED_NAMED)
    store.put("/models/sealed/model.onnx.data.age", SEALED_WEIGHTS)
    await keyed.fetch(uri, credentials_directory=keyed.fetcher.credentials(**store.keys))
    assert keyed.files == PLAIN


@pytest.mark.parametrize(
    "names", [("model.onnx.age", "model.onnx.data.age"), ("model.onnx", "model.onnx.data")]
)
async def test_fetch_oci_encrypted_files_of_an_artifact(keyed, registry, tls_registry, names):
    registry.push("models/sealed", "1", (names[0], SEALED_NAMED), (names[1], SEALED_WEIGHTS))
    await keyed.fetch(f"oci://{tls_registry.name}/models/sealed:1")
    assert keyed.files == PLAIN


async def test_fetch_oci_encrypted_file_in_an_archive_is_refused(keyed, registry, tls_registry):
    registry.push("models/sealed", "tar", (None, make_tar({"model.onnx.age": SEALED})))
    error = await keyed.fail(f"oci://{tls_registry.name}/models/sealed:tar")
    assert error.reason is FetchReason.ARCHIVE_REFUSED
    assert "oras push" in error.message


async def test_fetch_hf_encrypted_files_of_a_repository(keyed, https, other_https):
    hub = Hub(https, other_https, {"org/sealed": HubRepository()})
    hub.repositories["org/sealed"].commit(
        {"onnx/model.onnx.age": SEALED_NAMED, "onnx/model.onnx.data.age": SEALED_WEIGHTS}
    )
    await keyed.fetch("hf://org/sealed", environment={"HF_ENDPOINT": hub.endpoint})
    assert keyed.files == PLAIN


async def test_fetch_sha256_is_that_of_the_file_as_stored(keyed, https):
    uri = https.serve("/m.onnx.age", SEALED)
    await keyed.fetch(uri, sha256=SHA256)
    assert keyed.files == {"model.onnx": MODEL}
    (keyed.fetcher.destination / "model.onnx").unlink()
    error = await keyed.fail(uri, sha256=hashlib.sha256(MODEL).hexdigest())
    assert error.reason is FetchReason.DIGEST_MISMATCH


async def test_fetch_file_that_somebody_else_encrypted_is_refused_by_its_digest(keyed, https):
    # A public key is public: only the digest tells who encrypted.
    error = await keyed.fail(https.serve("/m.onnx.age", seal(MODEL)), sha256=SHA256)
    assert error.reason is FetchReason.DIGEST_MISMATCH


async def test_fetch_cache_keeps_what_is_encrypted_and_nothing_else(keyed, https, tmp_path):
    cache = ModelCache(tmp_path / "cache", 10_000_000)
    uri = https.serve("/m.onnx.age", SEALED)
    await keyed.fetch(uri, sha256=SHA256, cache=cache)
    kept = {path.name: path.read_bytes() for path in cache.directory.iterdir() if path.suffix != ".lock"}
    assert kept == {f"sha256-{SHA256}": SEALED}
    asked = len(https.requests)
    (keyed.fetcher.destination / "model.onnx").unlink()
    await keyed.fetch(uri, sha256=SHA256, cache=cache)
    assert keyed.files == {"model.onnx": MODEL}
    assert len(https.requests) == asked


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        (seal(MODEL, new_identity()[1]), "no key in the Secret"),
        (SEALED[:-20], "changed or cut off"),
        (MODEL, "is not encrypted"),
    ],
)
async def test_fetch_what_the_key_does_not_open_is_refused(keyed, https, stored, text):
    error = await keyed.fail(https.serve("/m.onnx.age", stored))
    assert error.reason is FetchReason.DECRYPTION_FAILED
    assert text in error.message


async def test_fetch_external_data_in_clear_beside_an_encrypted_model_is_refused(keyed, https):
    https.serve("/model.onnx.age", SEALED_NAMED)
    https.serve("/model.onnx.data.age", WEIGHTS)
    error = await keyed.fail(https.url("/model.onnx.age"))
    assert error.reason is FetchReason.DECRYPTION_FAILED


async def test_fetch_encrypted_archive_is_no_model(keyed, https):
    error = await keyed.fail(https.serve("/m.onnx.age", seal(make_tar({"model.onnx": MODEL}))))
    assert error.reason is FetchReason.ARCHIVE_REFUSED


async def test_fetch_encrypted_model_without_a_key_names_the_field(fetcher, https):
    error = await fetcher.fail(https.serve("/m.onnx.age", SEALED))
    assert error.reason is FetchReason.DECRYPTION_FAILED
    assert "spec.model.decryption.secretName" in error.message


async def test_fetch_secret_without_a_key_is_told_before_anything_is_fetched(keyed, https):
    (keyed.keys / "key.txt").unlink()
    error = await keyed.fail(https.serve("/m.onnx.age", SEALED))
    assert error.reason is FetchReason.CREDENTIALS_MISSING
    assert https.requests == []


async def test_fetch_that_is_ended_while_it_decrypts_leaves_nothing(keyed, https, monkeypatch):
    uri = https.serve("/m.onnx.age", SEALED)
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()
    write = encrypted._Sink.write

    def waits(self: Any, data: bytes) -> None:
        loop.call_soon_threadsafe(reached.set)
        while not self.stopped:
            pass
        write(self, data)

    monkeypatch.setattr(encrypted._Sink, "write", waits)
    task = asyncio.ensure_future(keyed.fetcher.fetch(uri, **keyed.changes))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert keyed.files == {}
    assert list(keyed.scratch.iterdir()) == []


async def test_fetch_that_is_ended_does_not_wait_for_ever_for_its_thread(keyed, https, monkeypatch):
    uri = https.serve("/m.onnx.age", SEALED)
    reached, released = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hangs(*_: Any) -> None:
        loop.call_soon_threadsafe(reached.set)
        released.wait()

    monkeypatch.setattr(encrypted, "decrypt", hangs)
    monkeypatch.setattr(encrypted, "_GRACE_SECONDS", 0.01)
    task = asyncio.ensure_future(keyed.fetcher.fetch(uri, **keyed.changes))
    await reached.wait()
    task.cancel()
    try:
        done, _ = await asyncio.wait([task], timeout=120)
        assert done
        assert task.cancelled()
    finally:
        released.set()
    assert keyed.files == {}


async def test_fetch_plain_models_are_found_before_encrypted_ones(fetcher, store):
    for name, data in {"a.onnx": MODEL, "a.onnx.age": SEALED, "b/m.onnx": MODEL}.items():
        store.put(f"/models/both/{name}", data)
    await fetcher.fetch("s3://models/both/", credentials_directory=fetcher.credentials(**store.keys))
    assert fetcher.files == {"a.onnx": MODEL}
