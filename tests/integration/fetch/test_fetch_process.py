"""The fetcher as the container runs it: a process with arguments, signals and a termination message."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

DATA = b"\x08\x08" + bytes(range(256)) * 4000
SHA256 = hashlib.sha256(DATA).hexdigest()
RUNTIME = Path(__file__).parents[3] / "runtime"
COMMAND = (sys.executable, "-m", "modelservice_runtime.fetch.main", "--allow-loopback-addresses")


async def start(
    fetcher, *arguments: str, prefix: tuple[str, ...] = (), **secret: str
) -> asyncio.subprocess.Process:
    log = fetcher.directory / "termination-log"
    log.touch()
    fixed = ("--destination", str(fetcher.destination), "--termination-log", str(log))
    credentials = ("--credentials-dir", str(fetcher.credentials(**secret)))
    return await asyncio.create_subprocess_exec(
        *prefix,
        *COMMAND,
        *fixed,
        *credentials,
        *arguments,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
    )


async def finish(
    fetcher, process: asyncio.subprocess.Process
) -> tuple[int, dict[str, object], list[dict[str, object]]]:
    """Exit code, termination message, log lines; no line is anything but JSON."""
    _, stderr = await process.communicate()
    report = json.loads((fetcher.directory / "termination-log").read_text())
    assert process.returncode is not None
    return process.returncode, report, [json.loads(line) for line in stderr.splitlines()]


async def test_process_success_reports_digest_and_size(fetcher, https):
    process = await start(fetcher, "--uri", https.serve("/m.onnx", DATA), "--max-bytes", "2000000")
    code, report, lines = await finish(fetcher, process)
    assert code == 0
    assert report == {
        "reason": "Fetched",
        "message": f"1 file, {len(DATA)} bytes from {https.url('/m.onnx')}",
        "sha256": SHA256,
        "sizeBytes": len(DATA),
    }
    assert lines[-1]["sha256"] == SHA256


async def test_process_failure_reports_the_reason(fetcher, https):
    process = await start(fetcher, "--uri", https.answer("/m.onnx", 404))
    code, report, lines = await finish(fetcher, process)
    assert (code, report["reason"], lines[-1]["level"]) == (1, "ModelNotFound", "error")


@pytest.mark.parametrize("scheme", ["https", "s3"])
async def test_process_sigterm_ends_it_and_cleans_up(fetcher, https, scheme):
    started = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if scheme == "https":
            await response.prepare(request)
            await response.write(DATA)
        started.set()
        await asyncio.sleep(60)
        return response

    https.handlers.update({"/m.onnx": handler, "/models/m.onnx": handler})
    uri = https.url("/m.onnx") if scheme == "https" else "s3://models/m.onnx"
    process = await start(fetcher, "--uri", uri, endpoint=https.url(""))
    await asyncio.wait_for(started.wait(), 120)
    process.send_signal(signal.SIGTERM)
    code, report, _ = await finish(fetcher, process)
    assert (code, report["reason"]) == (1, "DownloadFailed")
    assert "stopped" in str(report["message"])
    assert fetcher.files == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
async def test_process_full_disk_is_disk_full(fetcher, https):
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()  # no length: the disk fills up on the way
        await response.prepare(request)
        await response.write(DATA)
        return response

    https.handlers["/m.onnx"] = handler
    fetcher.destination.mkdir()
    mount = f"mount -t tmpfs -o size=256k tmpfs {fetcher.destination}"
    prefix = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")
    process = await start(fetcher, "--uri", https.url("/m.onnx"), prefix=prefix)
    code, report, _ = await finish(fetcher, process)
    assert (code, report["reason"]) == (1, "DiskFull")


async def test_process_api_server_is_refused(fetcher, https, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(https.port))
    process = await start(fetcher, "--uri", https.serve("/m.onnx", DATA))
    code, report, _ = await finish(fetcher, process)
    assert (code, report["reason"]) == (1, "AddressForbidden")
    assert https.requests == []
