"""The cache of model files: one download for many, digests checked, bounded, harmless when it fails."""

import asyncio
import fcntl
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelservice_runtime.fetch import FetchError, FetchReason, FetchRequest, FetchResult, fetch_model
from modelservice_runtime.fetch.files.cache import ModelCache
from modelservice_runtime.fetch.files.destination import Destination
from modelservice_runtime.fetch.http.addresses import AddressPolicy
from modelservice_runtime.fetch.main import build_parser, build_request

DATA = b"\x08\x08model" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()
ENTRY = f"sha256-{SHA256}"


class Store:
    """A web server that counts how often the file was asked for."""

    def __init__(self) -> None:
        self.downloads = 0
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                store.downloads += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(DATA)))
                self.end_headers()
                self.wfile.write(DATA)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.server.server_port}/m.onnx"


@pytest.fixture
def store() -> Iterator[Store]:
    running = Store()
    thread = threading.Thread(target=running.server.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.server.shutdown()
    thread.join(120)
    running.server.server_close()


def fetch(store: Store, destination: Path, cache: Path, *, max_bytes: int = 1 << 20) -> FetchResult:
    return fetch_model(
        FetchRequest(
            uri=store.uri,
            destination=destination,
            max_bytes=max_bytes,
            sha256=SHA256,
            addresses=AddressPolicy(allow_loopback=True),
            cache=ModelCache(cache, 1 << 20),
        )
    )


def test_fetches_of_the_same_file_at_the_same_time_download_it_once(store: Store, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(
            pool.map(lambda number: fetch(store, tmp_path / str(number), tmp_path / "cache"), range(4))
        )
    assert store.downloads == 1
    assert {result.model_path.read_bytes() for result in results} == {DATA}
    assert all(result.model_path.stat().st_nlink == 1 for result in results)
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [ENTRY, f"{ENTRY}.lock"]


@pytest.mark.parametrize("damage", ["bytes", "truncated", "link", "directory"])
def test_fetch_with_a_damaged_file_in_the_cache_downloads_again(
    store: Store, tmp_path: Path, damage: str
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    entry = cache / ENTRY
    if damage == "bytes":
        entry.write_bytes(b"x" * len(DATA))
    elif damage == "truncated":
        entry.write_bytes(DATA[:-1])
    elif damage == "link":
        (tmp_path / "elsewhere").write_bytes(DATA)
        entry.symlink_to(tmp_path / "elsewhere")
    else:
        entry.mkdir()
    assert fetch(store, tmp_path / "out", cache).model_path.read_bytes() == DATA
    assert store.downloads == 1
    if damage != "directory":
        fetch(store, tmp_path / "again", cache)
        assert store.downloads == 1
        assert not entry.is_symlink()


def test_fetch_after_one_that_died_while_writing_starts_anew(store: Store, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / f"{ENTRY}.partial").write_bytes(DATA[:10])
    (cache / f"{ENTRY}.lock").touch()
    other = cache / f"sha256-{'0' * 64}.partial"
    other.write_bytes(b"left behind")
    fetch(store, tmp_path / "out", cache)
    assert (cache / ENTRY).read_bytes() == DATA
    assert not other.exists()


def test_fetch_with_an_unusable_cache_goes_on_without_it(store: Store, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a directory should be")
    assert fetch(store, tmp_path / "out", tmp_path / "cache").model_path.read_bytes() == DATA


def test_fetch_of_a_cached_file_keeps_to_the_limit_of_bytes(store: Store, tmp_path: Path) -> None:
    fetch(store, tmp_path / "out", tmp_path / "cache")
    with pytest.raises(FetchError) as caught:
        fetch(store, tmp_path / "again", tmp_path / "cache", max_bytes=len(DATA) - 1)
    assert caught.value.reason is FetchReason.MODEL_TOO_LARGE


def add(cache: ModelCache, content: bytes, age_seconds: int) -> str:
    name = f"sha256-{hashlib.sha256(content).hexdigest()}"
    (cache.directory / name).write_bytes(content)
    os.utime(cache.directory / name, (1e9 - age_seconds, 1e9 - age_seconds))
    return name


def test_make_room_removes_the_longest_unused_but_none_in_use(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path, 100)
    oldest, middle, newest = (add(cache, bytes([n]) * 30, 100 - n) for n in range(3))
    with (tmp_path / f"{oldest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert cache.make_room(40)
    assert not (tmp_path / middle).exists()
    assert (tmp_path / oldest).exists()
    assert (tmp_path / newest).exists()
    assert not cache.make_room(101)


def test_use_makes_a_file_the_newest(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "cache", 70)
    cache.directory.mkdir()
    used = add(cache, b"a" * 30, 100)
    unused = add(cache, b"b" * 30, 50)

    async def use() -> None:
        async with cache.entry(used.removeprefix("sha256-")) as entry:
            assert entry is not None
            with Destination(tmp_path / "out") as destination, destination.create_partial("m") as partial:
                assert await entry.copy_to(partial)

    asyncio.run(use())
    assert cache.make_room(30)
    assert (cache.directory / used).exists()
    assert not (cache.directory / unused).exists()


def test_arguments_name_the_cache(tmp_path: Path) -> None:
    arguments = ["--uri", "https://store.example/m.onnx", "--cache-dir", str(tmp_path)]
    request = build_request(build_parser().parse_args([*arguments, "--cache-max-bytes", "5"]))
    assert request.cache == ModelCache(tmp_path, 5)
    assert build_request(build_parser().parse_args(arguments[:2])).cache is None
