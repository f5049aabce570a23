import asyncio
import hashlib
import logging
import stat

import pytest
from aiohttp import web
from tests.integration.fetch.fetch_models import WEIGHTS, make_model

from modelservice_runtime.fetch.errors import FetchReason
from modelservice_runtime.fetch.http.addresses import AddressPolicy
from modelservice_runtime.fetch.limits import TransferLimits

DATA = b"\x08\x08" + bytes(range(256)) * 4000
SHA256 = hashlib.sha256(DATA).hexdigest()
OLD = b"\x08\x09" + DATA[2:]


class CuttingFile:
    """Serves a file with ranges, and cuts the connection in the middle of the first answers."""

    def __init__(self, data: bytes, cuts: int, etag: str | None = '"v1"') -> None:
        self.data = data
        self.cuts = cuts
        self.etag = etag
        self.ranges: list[tuple[str | None, str | None]] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        asked, condition = request.headers.get("Range"), request.headers.get("If-Range")
        self.ranges.append((asked, condition))
        start = 0
        if asked and condition in (None, self.etag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        body = self.data[start:]
        headers = {"Content-Length": str(len(body)), **({"ETag": self.etag} if self.etag else {})}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(self.data) - 1}/{len(self.data)}"
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        await response.prepare(request)
        if self.cuts:
            self.cuts -= 1
            await response.write(body[: len(body) // 2])
            await asyncio.sleep(0.05)  # so that the bytes leave before the cut
            assert request.transport is not None
            request.transport.abort()
        else:
            await response.write(body)
        return response


async def test_fetch_https_stores_model_readable_and_complete(fetcher, https):
    result = await fetcher.fetch(https.serve("/spam.onnx", DATA), sha256=SHA256.upper())
    assert fetcher.files == {"model.onnx": DATA}
    assert (result.sha256, result.size_bytes, result.file_count) == (SHA256, len(DATA), 1)
    assert result.model_path == fetcher.destination / "model.onnx"
    assert stat.S_IMODE(result.model_path.stat().st_mode) == 0o444


async def test_fetch_already_present_asks_nobody(fetcher, https):
    url = https.serve("/spam.onnx", DATA)
    await fetcher.fetch(url, sha256=SHA256)
    await fetcher.fetch(url, sha256=SHA256)
    assert len(https.requests) == 1


async def test_fetch_without_digest_replaces_what_is_there(fetcher, https):
    await fetcher.fetch(https.serve("/spam.onnx", OLD))
    await fetcher.fetch(https.serve("/spam.onnx", DATA))
    assert fetcher.files == {"model.onnx": DATA}


async def test_fetch_unknown_authority_names_the_remedy(fetcher, https, tmp_path):
    error = await fetcher.fail(https.serve("/m.onnx", DATA), credentials_directory=None)
    assert error.reason is FetchReason.DOWNLOAD_FAILED
    assert "ca.crt" in error.message


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, FetchReason.CREDENTIALS_MISSING),
        (403, FetchReason.ACCESS_DENIED),
        (404, FetchReason.MODEL_NOT_FOUND),
        (410, FetchReason.MODEL_NOT_FOUND),
        (400, FetchReason.DOWNLOAD_FAILED),
        (500, FetchReason.DOWNLOAD_FAILED),
        (304, FetchReason.DOWNLOAD_FAILED),
    ],
)
async def test_fetch_error_status_becomes_its_reason(fetcher, https, status, reason):
    error = await fetcher.fail(https.answer("/m.onnx", status))
    assert error.reason is reason
    assert str(status) in error.message
    assert "body that" not in error.message
    assert len(https.requests) == (3 if status == 500 else 1)


async def test_fetch_rejected_credentials_are_access_denied(fetcher, https):
    credentials = fetcher.credentials(username="anna", password="hunter22")
    error = await fetcher.fail(https.answer("/m.onnx", 401), credentials_directory=credentials)
    assert error.reason is FetchReason.ACCESS_DENIED
    assert "hunter22" not in error.message


@pytest.mark.parametrize(
    ("values", "header"),
    [
        ({"username": "anna", "password": "pässword"}, "Basic YW5uYTpww6Rzc3dvcmQ="),
        ({"token": "abcdef\n"}, "Bearer abcdef"),
    ],
)
async def test_fetch_credentials_reach_the_server(fetcher, https, values, header):
    await fetcher.fetch(https.serve("/m.onnx", DATA), credentials_directory=fetcher.credentials(**values))
    assert https.requests[0].headers["Authorization"] == header


async def test_fetch_presigned_query_is_sent_exactly_but_never_shown(fetcher, https, caplog):
    caplog.set_level(logging.DEBUG)
    https.answer("/m.onnx", 403)
    error = await fetcher.fail(https.url("/m.onnx") + "?X-Sig=a%2Fb%2Bsecret&n=1")
    assert https.requests[0].raw_path == "/m.onnx?X-Sig=a%2Fb%2Bsecret&n=1"
    own_lines = [record.getMessage() for record in caplog.records if record.name.startswith("modelservice")]
    assert "secret" not in error.message + "".join(own_lines)


async def test_fetch_busy_server_is_asked_again_when_it_says(fetcher, https):
    answers = iter([503, 429, 200])

    async def handler(request: web.Request) -> web.Response:
        status = next(answers)
        return web.Response(status=status, body=DATA, headers={"Retry-After": "0"})

    https.handlers["/m.onnx"] = handler
    await fetcher.fetch(https.url("/m.onnx"))
    assert fetcher.files == {"model.onnx": DATA}


async def test_fetch_wrong_digest_leaves_nothing(fetcher, https):
    error = await fetcher.fail(https.serve("/m.onnx", DATA), sha256="0" * 64)
    assert error.reason is FetchReason.DIGEST_MISMATCH
    assert SHA256 in error.message


async def test_fetch_wrong_digest_keeps_the_old_file(fetcher, https):
    await fetcher.fetch(https.serve("/m.onnx", OLD))
    with pytest.raises(Exception, match="sha256"):
        await fetcher.fetch(https.serve("/m.onnx", DATA), sha256="0" * 64)
    assert fetcher.files == {"model.onnx": OLD}


async def test_fetch_announced_size_over_the_cap_is_refused_before_the_body(fetcher, https):
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(2**40)})
        await response.prepare(request)
        await asyncio.sleep(60)  # no byte ever comes
        return response

    https.handlers["/m.onnx"] = handler
    error = await fetcher.fail(https.url("/m.onnx"), max_bytes=1000)
    assert error.reason is FetchReason.MODEL_TOO_LARGE


async def test_fetch_announced_size_over_the_disk_is_disk_full(fetcher, https):
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(2**60)})
        await response.prepare(request)
        await asyncio.sleep(60)
        return response

    https.handlers["/m.onnx"] = handler
    error = await fetcher.fail(https.url("/m.onnx"), max_bytes=2**62)
    assert error.reason is FetchReason.DISK_FULL


async def test_fetch_endless_body_ends_at_the_cap(fetcher, https):
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"\x08" * 65536)
            await asyncio.sleep(0)  # a write to a closed connection does not yield

    https.handlers["/m.onnx"] = handler
    error = await fetcher.fail(https.url("/m.onnx"), max_bytes=3_000_000)
    assert error.reason is FetchReason.MODEL_TOO_LARGE


async def test_fetch_exactly_the_cap_is_allowed(fetcher, https):
    await fetcher.fetch(https.serve("/m.onnx", DATA), max_bytes=len(DATA))
    assert fetcher.files == {"model.onnx": DATA}


async def test_fetch_cut_connection_is_resumed_with_the_same_version(fetcher, https):
    https.handlers["/m.onnx"] = file = CuttingFile(DATA, cuts=2)
    await fetcher.fetch(https.url("/m.onnx"))
    assert fetcher.files == {"model.onnx": DATA}
    assert file.ranges[0] == (None, None)
    assert [condition for _, condition in file.ranges[1:]] == ['"v1"', '"v1"']
    assert all(asked for asked, _ in file.ranges[1:])


async def test_fetch_file_changed_after_the_cut_starts_again(fetcher, https):
    https.handlers["/m.onnx"] = file = CuttingFile(OLD, cuts=1)

    async def swap(request: web.Request) -> web.StreamResponse:
        if file.ranges:
            file.data, file.etag = DATA, '"v2"'
        return await file(request)

    https.handlers["/m.onnx"] = swap
    await fetcher.fetch(https.url("/m.onnx"))
    assert fetcher.files == {"model.onnx": DATA}


async def test_fetch_cut_without_version_or_digest_starts_again(fetcher, https):
    https.handlers["/m.onnx"] = file = CuttingFile(DATA, cuts=1, etag=None)
    await fetcher.fetch(https.url("/m.onnx"))
    assert file.ranges == [(None, None), (None, None)]
    assert fetcher.files == {"model.onnx": DATA}


async def test_fetch_cut_without_version_is_resumed_under_a_digest(fetcher, https):
    https.handlers["/m.onnx"] = file = CuttingFile(DATA, cuts=1, etag=None)
    await fetcher.fetch(https.url("/m.onnx"), sha256=SHA256)
    assert file.ranges[1][0] is not None
    assert fetcher.files == {"model.onnx": DATA}


async def test_fetch_always_cut_gives_up(fetcher, https):
    https.handlers["/m.onnx"] = CuttingFile(DATA, cuts=100)
    error = await fetcher.fail(https.url("/m.onnx"))
    assert error.reason is FetchReason.DOWNLOAD_FAILED
    assert "3 attempts" in error.message


async def test_fetch_wrong_range_is_not_spliced(fetcher, https):
    calls = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        if calls == 1:
            return await CuttingFile(DATA, cuts=1)(request)
        if calls == 2:
            return web.Response(
                status=206,
                body=DATA[10:],
                headers={"ETag": '"v1"', "Content-Range": f"bytes 10-99/{len(DATA)}"},
            )
        return web.Response(body=DATA)

    https.handlers["/m.onnx"] = handler
    await fetcher.fetch(https.url("/m.onnx"))
    assert fetcher.files == {"model.onnx": DATA}


async def test_fetch_dripping_server_is_ended_by_the_speed_limit(fetcher, https):
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"\x08")
            await asyncio.sleep(0.02)

    https.handlers["/m.onnx"] = handler
    limits = TransferLimits(max_attempts=2, backoff_base_seconds=0.01, low_speed_window_seconds=0.3)
    error = await fetcher.fail(https.url("/m.onnx"), limits=limits)
    assert error.reason is FetchReason.DOWNLOAD_FAILED
    assert "slower than" in error.message


@pytest.mark.parametrize(
    ("limits", "hint"),
    [
        (TransferLimits(max_attempts=2, backoff_base_seconds=0.01, read_timeout_seconds=0.2), "silent"),
        (TransferLimits(total_timeout_seconds=0.3), "not finished"),
    ],
)
async def test_fetch_silent_server_is_ended_by_a_timeout(fetcher, https, limits, hint):
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    https.handlers["/m.onnx"] = handler
    error = await fetcher.fail(https.url("/m.onnx"), limits=limits)
    assert error.reason is FetchReason.DOWNLOAD_FAILED
    assert hint in error.message


async def test_fetch_nobody_listening_is_download_failed(fetcher, https):
    error = await fetcher.fail("https://127.0.0.1:1/m.onnx")
    assert error.reason is FetchReason.DOWNLOAD_FAILED
    assert "cannot connect" in error.message


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"PK\x03\x04" + DATA, {}, FetchReason.ARCHIVE_REFUSED),
        (b"\x1f\x8b" + DATA, {}, FetchReason.ARCHIVE_REFUSED),
        (b"", {}, FetchReason.DOWNLOAD_FAILED),
        (DATA, {"Content-Encoding": "gzip"}, FetchReason.DOWNLOAD_FAILED),
    ],
)
async def test_fetch_body_that_is_no_model_is_refused(fetcher, https, body, headers, reason):
    assert (await fetcher.fail(https.serve("/m.onnx", body, **headers))).reason is reason


@pytest.mark.parametrize(
    ("body", "why"), [(b"# Spam", "not an ONNX model"), (b"<!doctype html><p>Log in", "perhaps a login")]
)
async def test_fetch_file_that_is_no_model_is_named_without_its_query(fetcher, https, body, why):
    error = await fetcher.fail(https.serve("/org/README.md", body) + "?signature=secret")
    assert error.reason is FetchReason.MODEL_NOT_FOUND
    assert "/org/README.md, and no model" in error.message
    assert why in error.message
    assert "secret" not in error.message
    assert fetcher.files == {}


async def test_fetch_model_under_any_name_is_one_by_its_bytes(fetcher, https):
    await fetcher.fetch(https.serve("/download", make_model()))
    assert fetcher.files == {"model.onnx": make_model()}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_fetch_redirect_is_followed(fetcher, https, other_https, status):
    https.answer("/m.onnx", status, Location=other_https.serve("/real.onnx", DATA))
    await fetcher.fetch(https.url("/m.onnx"))
    assert fetcher.files == {"model.onnx": DATA}


async def test_fetch_redirect_to_another_origin_drops_the_credentials(fetcher, https, other_https):
    https.answer("/m.onnx", 302, Location="/second.onnx")
    https.answer("/second.onnx", 302, Location=other_https.url("/back.onnx"))
    other_https.answer("/back.onnx", 302, Location=https.serve("/real.onnx", DATA))
    await fetcher.fetch(https.url("/m.onnx"), credentials_directory=fetcher.credentials(token="abcdef"))
    sent = ["Authorization" in request.headers for request in https.requests + other_https.requests]
    assert sent == [True, True, False, False]


@pytest.mark.parametrize(
    "location",
    [
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:169.254.169.254]/latest/meta-data/",
        "https://2852039166/latest/meta-data/",
        "https://[fe80::1]/",
        "https://0.0.0.0/",
        "http://127.0.0.1/m.onnx",
        "gopher://127.0.0.1/m.onnx",
        "file:///etc/passwd",
        "https://user:password@127.0.0.1/m.onnx",
    ],
)
async def test_fetch_redirect_to_a_forbidden_place_is_refused(fetcher, https, location):
    error = await fetcher.fail(https.answer("/m.onnx", 302, Location=location))
    if location.startswith("file"):
        assert error.reason is FetchReason.DOWNLOAD_FAILED
    else:
        assert error.reason is FetchReason.ADDRESS_FORBIDDEN
    assert len(https.requests) == 1


async def test_fetch_redirect_to_the_api_server_is_refused(fetcher, https, other_https):
    policy = AddressPolicy(
        allow_loopback=True, forbidden_endpoints=frozenset({("127.0.0.1", other_https.port)})
    )
    https.answer("/m.onnx", 302, Location=other_https.serve("/api", DATA))
    error = await fetcher.fail(https.url("/m.onnx"), addresses=policy)
    assert error.reason is FetchReason.ADDRESS_FORBIDDEN
    assert "API server" in error.message
    assert other_https.requests == []


async def test_fetch_redirect_loop_ends(fetcher, https):
    error = await fetcher.fail(https.answer("/m.onnx", 302, Location="/m.onnx"))
    assert error.reason is FetchReason.DOWNLOAD_FAILED
    assert len(https.requests) == 6


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_fetch_loopback_is_refused_in_every_notation(fetcher, https, host):
    https.serve("/m.onnx", DATA)
    error = await fetcher.fail(f"https://{host}:{https.port}/m.onnx", addresses=AddressPolicy())
    assert error.reason is FetchReason.ADDRESS_FORBIDDEN
    assert https.requests == []


async def test_fetch_http_needs_a_digest(fetcher, http):
    url = http.serve("/m.onnx", DATA)
    assert (await fetcher.fail(url)).reason is FetchReason.INVALID_URI
    await fetcher.fetch(url, sha256=SHA256)
    assert fetcher.files == {"model.onnx": DATA}


async def test_fetch_http_never_carries_credentials(fetcher, http):
    error = await fetcher.fail(
        http.serve("/m.onnx", DATA), sha256=SHA256, credentials_directory=fetcher.credentials(token="abcdef")
    )
    assert error.reason is FetchReason.ACCESS_DENIED
    assert http.requests == []


async def test_fetch_progress_is_logged(fetcher, https, caplog):
    caplog.set_level(logging.INFO, "modelservice_runtime.fetch")
    await fetcher.fetch(https.serve("/m.onnx", DATA))
    lines = [record.fields for record in caplog.records if record.getMessage() == "downloading"]
    assert lines[-1]["bytes"] == lines[-1]["totalBytes"] == len(DATA)
    assert lines[-1]["bytesPerSecond"] > 0


@pytest.mark.filterwarnings("error")
async def test_fetch_environment_proxy_is_not_used(fetcher, https, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    await fetcher.fetch(https.serve("/m.onnx", DATA))
    assert fetcher.files == {"model.onnx": DATA}


async def test_fetch_https_external_data_comes_from_beside_the_model(fetcher, https):
    large = make_model("weights/part 1.bin")
    https.serve("/org/m/onnx/weights/part 1.bin", WEIGHTS)
    await fetcher.fetch(
        https.serve("/org/m/onnx/model.onnx", large),
        credentials_directory=fetcher.credentials(token="secret-token"),
    )
    assert fetcher.files == {"model.onnx": large, "weights/part 1.bin": WEIGHTS}
    assert {request.headers["Authorization"] for request in https.requests} == {"Bearer secret-token"}


async def test_fetch_https_missing_external_data_is_named(fetcher, https):
    url = https.serve("/m/model.onnx", make_model("model.onnx_data"))
    https.answer("/m/model.onnx_data", 404)
    error = await fetcher.fail(url)
    assert error.reason is FetchReason.MODEL_NOT_FOUND
    assert "/m/model.onnx_data" in error.message


async def test_fetch_external_data_that_nothing_vouches_for_is_refused(fetcher, https, http):
    large = make_model("model.onnx_data")
    http.serve("/model.onnx_data", WEIGHTS)
    sha256 = hashlib.sha256(large).hexdigest()
    for url in (f"{https.serve('/model.onnx', large)}?signature=x", http.serve("/model.onnx", large)):
        error = await fetcher.fail(url, sha256=sha256)
        assert error.reason is FetchReason.INVALID_URI
        assert "model.onnx_data" in error.message
    assert all(request.path == "/model.onnx" for request in http.requests)
