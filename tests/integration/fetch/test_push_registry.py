"""`modelservice model push` and `pull` against Debian's docker-registry, and what our fetcher makes of it."""

import asyncio
import base64
import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hack.cluster.binaries import find_programs
from tests.integration.fetch.fetch_models import WEIGHTS, make_model
from tests.integration.fetch.fetch_registries import RegistryServer

from modelservice_cli.main import main
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.access import PASSWORD, USERNAME, Access
from modelservice_pipeline.oci.layout import read_layout
from modelservice_pipeline.oci.reference import parse_reference
from modelservice_pipeline.oci.registry import Repository
from modelservice_pipeline.package.opening import pack, read_and_describe

MODEL = make_model("weights/model.onnx.data")
SHA256 = hashlib.sha256(MODEL).hexdigest()
FILES = {
    "README.md": b"---\nlicense: mit\nmodel_name: Spam \xe2\x98\x83\n---\n",
    "model.onnx": MODEL,
    "tokenizer.json": b"{}",
    "weights/model.onnx.data": WEIGHTS,
}


@pytest.fixture(autouse=True)
def no_logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may be logged in somewhere."""
    (tmp_path / "docker").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", USERNAME, PASSWORD):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "spam", FILES)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    """Run a command that must succeed; returns its report."""
    code = main(["model", *map(str, arguments), "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    found: dict[str, object] = json.loads(captured.out)
    return found


def fail(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must fail; returns what it says."""
    assert main(["model", *map(str, arguments)]) == 1
    return capsys.readouterr().err


async def test_push_then_pull_and_fetch_give_the_same_bytes(
    capsys, fetcher, registry: RegistryServer, folder: Path, tmp_path: Path
) -> None:
    pushed = run(capsys, "push", folder, f"{registry.name}/models/spam:7")
    assert pushed["presentBytes"] == 0
    pulled = run(capsys, "pull", pushed["reference"], tmp_path / "pulled")
    assert pulled["digest"] == pushed["digest"]
    assert read(tmp_path / "pulled") == FILES
    await fetcher.fetch(str(pushed["storageUri"]), sha256=SHA256)
    assert fetcher.files == {"model.onnx": MODEL, "weights/model.onnx.data": WEIGHTS}


async def test_push_image_then_pull_and_fetch_give_the_same_bytes(
    capsys, fetcher, registry: RegistryServer, folder: Path, tmp_path: Path
) -> None:
    pushed = run(capsys, "push", folder, f"{registry.name}/models/image:7", "--as", "image")
    assert pushed["model"] == {"path": "models/1/model.onnx", "sha256": SHA256}
    run(capsys, "pull", f"{registry.name}/models/image:7", tmp_path / "pulled")
    assert read(tmp_path / "pulled" / "models/1") == FILES
    await fetcher.fetch(str(pushed["storageUri"]), sha256=SHA256)
    assert fetcher.files == {"model.onnx": MODEL, "weights/model.onnx.data": WEIGHTS}


@pytest.mark.parametrize("form", ["modelpack", "image"])
async def test_push_keeps_a_proof_where_the_fetcher_looks(
    capsys, fetcher, registry: RegistryServer, folder: Path, form: str
) -> None:
    proof = {"proof.json": b"{}", "proof.npz": b"PK"}
    pushed = run(capsys, "push", write(folder, proof), f"{registry.name}/models/proven:1", "--as", form)
    await fetcher.fetch(str(pushed["storageUri"]), sha256=SHA256, with_proof=True)
    assert proof.items() <= fetcher.files.items()


def test_push_again_sends_nothing(capsys, registry: RegistryServer, folder: Path) -> None:
    first = run(capsys, "push", folder, f"{registry.name}/models/again:1")
    second = run(capsys, "push", folder, f"{registry.name}/models/again:2")
    assert (second["sentBytes"], second["digest"]) == (0, first["digest"])


def test_push_mounts_what_another_repository_has(capsys, registry: RegistryServer, folder: Path) -> None:
    run(capsys, "push", folder, f"{registry.name}/models/source:1")
    mounted = run(capsys, "push", folder, f"{registry.name}/models/target:1", "--mount-from", "models/source")
    assert mounted["sentBytes"] == 0


def test_push_of_a_layout_keeps_its_digest(capsys, registry, folder: Path, tmp_path: Path) -> None:
    packed = run(capsys, "package", folder, "--output", tmp_path / "spam.tar")
    pushed = run(capsys, "push", tmp_path / "spam.tar", f"{registry.name}/models/layout:1")
    assert pushed["digest"] == packed["digest"]


def test_push_in_chunks_stores_the_whole(registry: RegistryServer, folder: Path) -> None:
    content = pack(*read_and_describe(folder))
    layer = next(one for one in content.layers if one.size_bytes == len(WEIGHTS))
    reference = parse_reference(f"{registry.name}/models/chunks:1")
    repository = Repository(reference, Access(chunk_bytes=5000), "pull,push")
    repository.write_blob(layer, layer.read)
    assert b"".join(repository.open_blob(layer.digest)) == WEIGHTS


def test_push_over_tls_needs_the_authority(capsys, tls, tls_registry: RegistryServer, folder: Path) -> None:
    reference = f"{tls_registry.name}/models/tls:1"
    assert "--registry-ca" in fail(capsys, "push", folder, reference)
    run(capsys, "push", folder, reference, "--registry-ca", tls.authority)


def docker_config(tmp_path: Path, config: dict[str, object]) -> None:
    (tmp_path / "docker" / "config.json").write_text(json.dumps(config))


def basic(password: str) -> str:
    return base64.b64encode(f"anna:{password}".encode()).decode()


def test_push_logs_in_as_docker_did(capsys, tls, tmp_path, password_registry, folder: Path) -> None:
    arguments = ("push", folder, f"{password_registry.name}/models/login:1", "--registry-ca", tls.authority)
    assert "docker login" in fail(capsys, *arguments)
    docker_config(tmp_path, {"auths": {password_registry.name: {"auth": basic("wrong")}}})
    said = fail(capsys, *arguments)
    assert "docker login" in said
    assert "wrong" not in said
    docker_config(tmp_path, {"auths": {f"https://{password_registry.name}/v1/": {"auth": basic("hunter22")}}})
    run(capsys, *arguments)


def test_push_logs_in_by_the_environment(capsys, tls, monkeypatch, password_registry, folder: Path) -> None:
    monkeypatch.setenv(USERNAME, "anna")
    reference = f"{password_registry.name}/models/env:1"
    assert PASSWORD in fail(capsys, "push", folder, reference, "--registry-ca", tls.authority)
    monkeypatch.setenv(PASSWORD, "hunter22")
    run(capsys, "push", folder, reference, "--registry-ca", tls.authority)


def test_push_logs_in_by_a_credential_helper(
    capsys, tls, tmp_path, monkeypatch, password_registry, folder: Path
) -> None:
    helper = tmp_path / "bin" / "docker-credential-test"
    helper.parent.mkdir()
    answer = json.dumps({"ServerURL": "", "Username": "anna", "Secret": "hunter22"})
    asked = f'read -r host\n[ "$host" = {password_registry.name} ]'
    helper.write_text(f"#!/bin/sh\n{asked} && echo '{answer}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:{os.environ['PATH']}")
    docker_config(tmp_path, {"credHelpers": {password_registry.name: "test"}})
    run(capsys, "push", folder, f"{password_registry.name}/models/helper:1", "--registry-ca", tls.authority)


@pytest.mark.parametrize("kind", ["password", "identity token", "anonymous"])
async def test_push_asks_the_token_service(
    tls, tmp_path, token_registry, token_service, folder: Path, kind: str
) -> None:
    if kind == "password":
        token_service.password = "hunter22"
        docker_config(tmp_path, {"auths": {token_registry.name: {"auth": basic("hunter22")}}})
    elif kind == "identity token":
        token_service.refresh_token = "refresh-me"
        docker_config(tmp_path, {"auths": {token_registry.name: {"identitytoken": "refresh-me"}}})
    reference = f"{token_registry.name}/models/token:1"
    arguments = ["model", "push", str(folder), reference, "--registry-ca", str(tls.authority)]
    # A process of its own: the token service answers on this thread.
    command = [sys.executable, "-m", "modelservice_cli.main", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said


def test_pull_blob_changed_in_the_store_leaves_nothing(
    capsys, registry: RegistryServer, folder: Path, tmp_path: Path
) -> None:
    spoiled = b"to be spoiled " * 100
    write(folder, {"vocabulary.txt": spoiled})
    run(capsys, "push", folder, f"{registry.name}/models/spoiled:1")
    registry.spoil(spoiled)
    said = fail(capsys, "pull", f"{registry.name}/models/spoiled:1", tmp_path / "pulled")
    assert "vocabulary.txt" in said
    assert not (tmp_path / "pulled").exists()
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("title", ["../evil", "/etc/evil", "a/../../evil", "a\\b", "a\nb"])
def test_pull_title_that_leads_outside_is_refused(capsys, registry, tmp_path: Path, title: str) -> None:
    registry.push("models/evil", "1", (title, b"evil"), ("model.onnx", MODEL))
    assert "path" in fail(capsys, "pull", f"{registry.name}/models/evil:1", tmp_path / "a" / "pulled")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_pull_what_is_not_there_says_so(capsys, registry: RegistryServer, tmp_path: Path) -> None:
    assert "check the reference" in fail(
        capsys, "pull", f"{registry.name}/models/none:1", tmp_path / "pulled"
    )


def test_inspect_reads_no_weights(capsys, registry: RegistryServer, folder: Path) -> None:
    weights = b"of this test alone" * 10
    write(folder, {"other.bin": weights})
    pushed = run(capsys, "push", folder, f"{registry.name}/models/inspect:1")
    registry.spoil(weights)
    found = run(capsys, "inspect", f"{registry.name}/models/inspect:1")
    assert found["digest"] == pushed["digest"]
    assert found["card"] == {"license": "mit", "model_name": "Spam ☃"}
    assert found["model"] == {"path": "model.onnx", "sha256": SHA256}


def test_push_writes_a_manifest_by_digest(capsys, registry, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "git" / "spam.yaml"
    arguments = ("--yaml", target, "-n", "mail", "--cluster-registry", "registry.example.com:5000")
    pushed = run(capsys, "push", folder, f"{registry.name}/models/spam:1", *arguments)
    assert yaml.safe_load(target.read_text()) == {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "spam", "namespace": "mail"},
        "spec": {
            "model": {
                "storageUri": f"oci://registry.example.com:5000/models/spam@{pushed['digest']}",
                "sha256": SHA256,
            }
        },
    }


@pytest.fixture(scope="module")
def oras() -> str:
    return str(find_programs(["oras"])["oras"])


def test_oras_pulls_what_is_pushed(capsys, oras, registry, folder: Path, tmp_path: Path) -> None:
    run(capsys, "push", folder, f"{registry.name}/models/oras:1")
    command = [oras, "pull", "--plain-http", "-o", str(tmp_path / "pulled"), f"{registry.name}/models/oras:1"]
    subprocess.run(command, check=True, capture_output=True)
    assert read(tmp_path / "pulled") == FILES


@pytest.mark.parametrize("form", ["modelpack", "image"])
@pytest.mark.parametrize("name", ["layout", "layout.tar"])
def test_oras_copies_a_layout(capsys, oras, registry, folder: Path, tmp_path: Path, form, name) -> None:
    packed = run(capsys, "package", folder, "--as", form, "--output", tmp_path / name, "--tag", "9")
    target = f"{registry.name}/models/copied-{form}:9"
    command = [oras, "cp", "--from-oci-layout", f"{tmp_path / name}:9", "--to-plain-http", target]
    subprocess.run(command, check=True, capture_output=True)
    assert run(capsys, "inspect", target)["digest"] == packed["digest"]


def test_pull_reads_what_oras_pushes(capsys, oras, registry, folder: Path, tmp_path: Path) -> None:
    target = f"{registry.name}/models/pushed-by-oras:1"
    command = [oras, "push", "--plain-http", target, "model.onnx", "weights"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    run(capsys, "pull", target, tmp_path / "pulled")
    assert read(tmp_path / "pulled") == {
        name: FILES[name] for name in ("model.onnx", "weights/model.onnx.data")
    }


def test_layout_in_oras_cache_is_read(oras, registry, folder: Path, tmp_path: Path) -> None:
    layout = tmp_path / "by-oras"
    command = [oras, "push", "--oci-layout", f"{layout}:1", "model.onnx"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    (layer,) = read_layout(layout).layers
    assert b"".join(layer.read()) == MODEL


def test_file_that_changes_while_it_is_pushed_is_refused(registry: RegistryServer, folder: Path) -> None:
    content = pack(*read_and_describe(folder))
    (folder / "tokenizer.json").write_bytes(b"[]")
    layer = next(one for one in content.layers if one.size_bytes == 2)
    repository = Repository(parse_reference(f"{registry.name}/models/changed:1"), Access(), "pull,push")
    with pytest.raises(PipelineError, match=r"tokenizer\.json"):
        repository.write_blob(layer, layer.read)
    assert not repository.has_blob(layer.digest)


def test_pulled_folder_has_the_modes_of_new_ones(capsys, registry, folder: Path, tmp_path: Path) -> None:
    run(capsys, "push", folder, f"{registry.name}/models/modes:1")
    run(capsys, "pull", f"{registry.name}/models/modes:1", tmp_path / "pulled")
    (tmp_path / "made").mkdir()
    assert stat.S_IMODE((tmp_path / "pulled").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "made").stat().st_mode
    )
