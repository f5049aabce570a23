"""Our encrypted files and those of the tool `age` are the same format, in both directions."""

import subprocess
from pathlib import Path

import pytest
from hack.cluster.binaries import find_programs
from tests.integration.fetch.fetch_models import WEIGHTS, make_model
from tests.integration.fetch.fetch_servers import Fetcher

from modelservice_cli.commands import run
from modelservice_runtime.fetch import Decryption

NAMED = make_model("model.onnx.data")


@pytest.fixture(scope="module")
def age_tool() -> str:
    return str(find_programs(["age"])["age"])


@pytest.fixture
def key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, str]:
    """A file with a private key, and its public key."""
    path = tmp_path / "keys" / "key.txt"
    path.parent.mkdir()
    assert run(["encrypt", "--new-key", "--key-file", str(path)]) == 0
    return path, capsys.readouterr().out.strip()


def test_age_decrypts_what_the_command_encrypted(age_tool, key, tmp_path):
    (tmp_path / "model.onnx").write_bytes(NAMED)
    (tmp_path / "model.onnx.data").write_bytes(WEIGHTS)
    assert run(["encrypt", str(tmp_path / "model.onnx"), "--recipient", key[1]]) == 0

    for name, data in {"model.onnx": NAMED, "model.onnx.data": WEIGHTS}.items():
        command = [age_tool, "--decrypt", "--identity", str(key[0]), str(tmp_path / f"{name}.age")]
        assert subprocess.run(command, check=True, capture_output=True).stdout == data


def seal(age_tool: str, *options: str, data: bytes) -> bytes:
    command = [age_tool, "--encrypt", *options]
    return subprocess.run(command, check=True, capture_output=True, input=data).stdout


@pytest.mark.parametrize("form", [[], ["--armor"]])
async def test_fetch_decrypts_what_age_encrypted(age_tool, key, fetcher: Fetcher, https, form):
    for path, data in {"/model.onnx.age": NAMED, "/model.onnx.data.age": WEIGHTS}.items():
        https.serve(path, seal(age_tool, *form, "--recipient", key[1], data=data))
    decryption = Decryption(key[0].parent, fetcher.directory / "scratch")
    await fetcher.fetch(https.url("/model.onnx.age"), decryption=decryption)
    assert fetcher.files == {"model.onnx": NAMED, "model.onnx.data": WEIGHTS}
