"""Adapters of mounted volumes and the flags that name them; see the integration tests for downloads."""

import hashlib
import json
from pathlib import Path

import pytest

from modelservice_runtime.fetch.adapters import build_adapter_requests
from modelservice_runtime.fetch.main import build_parser, build_request, run

DATA = b"weights"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    directory = tmp_path / "volumes"
    (directory / "law").mkdir(parents=True)
    (directory / "law" / "law.onnx_adapter").write_bytes(DATA)
    (tmp_path / "termination-log").touch()
    return directory


def _run(volumes: Path, *arguments: str) -> tuple[int, dict[str, object]]:
    log = volumes.parent / "termination-log"
    code = run([*arguments, "--adapter-volumes-dir", str(volumes), "--termination-log", str(log)])
    return code, json.loads(log.read_text())


def _mounted(volumes: Path) -> str:
    return f"law/law.onnx_adapter=file://{volumes}/law/law.onnx_adapter"


def test_adapters_alone_are_checked_in_place(volumes: Path) -> None:
    code, report = _run(volumes, "--adapter", _mounted(volumes), "--adapter-sha256", f"law={SHA256}")

    assert (code, report["reason"], report["message"]) == (0, "Fetched", "1 adapter")


def test_adapters_are_told_behind_the_model(volumes: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(DATA)
    model = ["--uri", f"file://{tmp_path}/m.onnx", "--verify-only", "--destination", str(tmp_path)]
    code, report = _run(volumes, *model, "--adapter", _mounted(volumes))

    assert (code, report["sha256"]) == (0, SHA256)
    assert str(report["message"]).endswith("m.onnx; 1 adapter")


@pytest.mark.parametrize(
    ("adapter", "sha256", "reason", "word"),
    [
        ("law/law.onnx_adapter=file://{0}/law/law.onnx_adapter", "0" * 64, "DigestMismatch", "its sha256"),
        ("law/a=file://{0}/law/a", SHA256, "ModelNotFound", "check the path in its storageUri"),
        ("law/a=file://{0}/../termination-log", SHA256, "InvalidUri", "'..'"),
        ("law/a=http://h/a", None, "InvalidUri", "its sha256"),
        ("law/a=ftp://h/a", SHA256, "InvalidUri", "ftp"),
    ],
)
def test_what_fails_is_told_of_the_adapter(
    volumes: Path, adapter: str, sha256: str | None, reason: str, word: str
) -> None:
    digest = [] if sha256 is None else ["--adapter-sha256", f"law={sha256}"]
    code, report = _run(volumes, "--adapter", adapter.format(volumes), *digest)

    assert (code, report["reason"]) == (1, reason)
    message = str(report["message"])
    assert message.startswith("adapter 'law': ")
    assert word in message
    assert "spec.model" not in message


def test_each_adapter_has_its_own_digest_size_and_credentials() -> None:
    flags = (
        "--uri oci://r/m:1 --with-proof --generative --sha256 abc --credentials-dir /model --verify-only "
        "--adapter a/x=1.bin=s3://b/x.bin --adapter b/y.bin=https://h/y?q=1 --adapter-sha256 a=12 "
        "--adapter-max-bytes b=7 --adapter-credentials-dir b=/b --adapters-dir /to"
    )
    arguments = build_parser().parse_args(flags.split())
    one, other = build_adapter_requests(arguments, build_request(arguments))

    assert (one.request.uri, one.request.file, one.request.destination) == (
        "s3://b/x.bin", "x=1.bin", Path("/to/a"),
    )  # fmt: skip
    assert (one.request.sha256, one.request.max_bytes, one.request.credentials_directory) == (
        "12", 1024**3, None,
    )  # fmt: skip
    assert not one.request.generative
    assert not one.request.with_proof
    assert other.request.uri == "https://h/y?q=1"
    assert (other.request.sha256, other.request.max_bytes, other.request.credentials_directory) == (
        None, 7, Path("/b"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["law=s3://b/k", "law/=s3://b/k", "../x/a=s3://b/k", "law/b/a=u", "law/.a=u", "law/a="]
)
def test_adapters_of_another_form_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--adapter", text])

    assert "NAME/FILE=URI" in capsys.readouterr().err
