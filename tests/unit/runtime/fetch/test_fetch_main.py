import hashlib
import json
import subprocess
import sys

import pytest

from modelservice_runtime.fetch import FetchError, FetchReason, FetchRequest, fetch_model
from modelservice_runtime.fetch.main import build_parser, build_request, run

DATA = b"\x08\x08model"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def volume(tmp_path):
    directory = tmp_path / "models"
    directory.mkdir()
    (directory / "m.onnx").write_bytes(DATA)
    (tmp_path / "termination-log").touch()
    return directory


def run_fetch(volume, *arguments: str) -> tuple[int, dict[str, object]]:
    log = volume.parent / "termination-log"
    code = run([*arguments, "--destination", str(volume), "--termination-log", str(log)])
    return code, json.loads(log.read_text())


def test_run_verify_only_right_digest_succeeds(volume):
    code, report = run_fetch(volume, "--uri", f"file://{volume}/m.onnx", "--verify-only", "--sha256", SHA256)
    assert code == 0
    assert report["reason"] == "Fetched"
    assert (report["sha256"], report["sizeBytes"]) == (SHA256, len(DATA))


def test_run_verify_only_follows_the_links_of_a_mounted_config_map(volume):
    (volume / "..2024").mkdir()
    (volume / "m.onnx").rename(volume / "..2024" / "m.onnx")
    (volume / "..data").symlink_to("..2024")
    (volume / "m.onnx").symlink_to("..data/m.onnx")
    code, _ = run_fetch(volume, "--uri", f"file://{volume}/m.onnx", "--verify-only", "--sha256", SHA256)
    assert code == 0


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("m.onnx", ["--verify-only", "--sha256", "0" * 64], "DigestMismatch"),
        ("m.onnx", ["--verify-only", "--sha256", "xyz"], "InvalidUri"),
        ("m.onnx", ["--sha256", SHA256], "InvalidUri"),
        ("absent.onnx", ["--verify-only"], "ModelNotFound"),
        ("outside.onnx", ["--verify-only"], "InvalidUri"),
        ("loop.onnx", ["--verify-only"], "ModelNotFound"),
        ("folder", ["--verify-only"], "InvalidUri"),
    ],
)
def test_run_verify_only_failure_has_its_reason(volume, name, arguments, reason):
    (volume.parent / "secret").write_bytes(b"secret")
    (volume / "outside.onnx").symlink_to(volume.parent / "secret")
    (volume / "loop.onnx").symlink_to(volume / "loop.onnx")
    (volume / "folder").mkdir()
    code, report = run_fetch(volume, "--uri", f"file://{volume}/{name}", *arguments)
    assert code == 1
    assert report["reason"] == reason
    assert 0 < len(str(report["message"])) <= 1000


def test_run_failure_is_logged_as_one_json_line_without_the_secret(volume, capsys):
    code, report = run_fetch(volume, "--uri", "https://user:hunter22@store.example/m.onnx")
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (code, report["reason"], last["reason"], last["level"]) == (1, "InvalidUri", "InvalidUri", "error")
    assert "hunter22" not in json.dumps([report, last])


def test_run_no_termination_log_does_not_create_one(volume):
    code = run(["--uri", "ftp://org/m", "--termination-log", str(volume / "none")])
    assert code == 1
    assert not (volume / "none").exists()


def test_build_request_takes_the_api_server_from_the_environment(monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    request = build_request(build_parser().parse_args(["--uri", "https://h/m", "--deny-private-addresses"]))
    assert request.addresses.forbidden_endpoints == {("10.96.0.1", 443)}
    assert not request.addresses.allow_private
    assert not request.addresses.allow_loopback


def test_fetch_model_file_is_used_in_place(volume):
    request = FetchRequest(f"file://{volume}/m.onnx", volume.parent / "other", 100, allow_file=True)
    result = fetch_model(request)
    assert (result.model_path, result.sha256, result.file_count) == (volume / "m.onnx", SHA256, 1)
    assert not (volume.parent / "other").exists()


def test_fetch_model_file_with_unusual_characters_is_found(tmp_path):
    path = tmp_path / "my model %41 ü.onnx"
    path.write_bytes(DATA)
    assert fetch_model(FetchRequest(path.as_uri(), tmp_path, 1, allow_file=True)).model_path == path


def test_fetch_model_file_is_refused_unless_allowed(volume):
    with pytest.raises(FetchError) as caught:
        fetch_model(FetchRequest(f"file://{volume}/m.onnx", volume, 100))
    assert caught.value.reason is FetchReason.INVALID_URI


HANGS = """
import sys, threading
from modelservice_runtime.fetch import fetcher, main
fetcher.verify_file = lambda *_: threading.Event().wait()  # a disk that does not answer
sys.exit(main.run(sys.argv[1:]))
"""


def test_run_ends_after_its_timeout_although_a_thread_hangs(volume):
    log = volume.parent / "termination-log"
    arguments = ["--uri", f"file://{volume}/m.onnx", "--verify-only", "--destination", str(volume)]
    arguments += ["--timeout-seconds", "1", "--termination-log", str(log)]
    ended = subprocess.run([sys.executable, "-c", HANGS, *arguments], timeout=60, check=False)
    report = json.loads(log.read_text())
    assert (ended.returncode, report["reason"]) == (1, "DownloadFailed")
    assert "not finished after 1 seconds" in report["message"]
