"""The example of a client in Go, built from its committed stub, against `modelservice serve`."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hack.cluster.binaries import go_environment
from hack.generate.go_stub import EXAMPLE, go_stub
from tests.support.ports import free_port
from tests.support.serve_command import serving
from tests.support.tiny_models import make_word_finder

ROOT = Path(__file__).parents[2]
# Half a minute of two idle cores where Go's cache is empty; a busy machine takes several times that.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's program."""
    program = tmp_path_factory.mktemp("go") / "client"
    command = ["go", "build", "-o", program, "."]
    built = subprocess.run(
        command, cwd=ROOT / EXAMPLE, env=go_environment(), capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return program


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server with the model `spam` speaks gRPC."""
    model = tmp_path_factory.mktemp("model") / "model.onnx"
    model.write_bytes(make_word_finder("prize"))
    port = free_port()
    with serving("--model", f"spam={model}", grpc_port=port):
        yield f"127.0.0.1:{port}"


def run(client: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([client, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_go_client_prints_signature_and_answers(client: Path, address: str) -> None:
    result = run(client, "-address", address, "see you at n\u00f6\u00f6n", "", "you won a prize")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "model spam [1] onnx_onnxv1",
        "input text BYTES [-1]",
        "output label BYTES [-1]",
        "output probability FP32 [-1]",
        'ham 0.000 "see you at n\u00f6\u00f6n"',
        'ham 0.000 ""',
        'spam 1.000 "you won a prize"',
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-model", "other"], ["code = NotFound", "'other'"]),
        (["-timeout", "1ns"], ["code = DeadlineExceeded", "-timeout"]),
    ],
    ids=["unknown model", "no time"],
)
def test_go_client_refused_says_why(
    client: Path, address: str, arguments: list[str], expected: list[str]
) -> None:
    result = run(client, "-address", address, *arguments, "text")
    assert result.returncode == 1
    assert all(part in result.stderr for part in expected), result.stderr


def test_go_client_without_server_says_so(client: Path) -> None:
    result = run(client, "-address", f"127.0.0.1:{free_port()}", "text")
    assert result.returncode == 1
    assert "code = Unavailable" in result.stderr


def test_committed_go_stub_is_generated() -> None:
    for path, text in go_stub(ROOT).items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path}: run `make generate`"
