"""`modelservice serve`: flags and manifests to server settings; and the command itself."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import yaml
from tests.unit.runtime import onnx_models

from modelservice_cli import main as command
from modelservice_cli.errors import CommandError
from modelservice_cli.local import model_files
from modelservice_cli.local.manifest import read_manifest
from modelservice_cli.local.model_files import SecretDirectories, default_cache_directory, locate_model
from modelservice_runtime.fetch.age import encrypt, new_identity, parse_recipient
from modelservice_runtime.settings.batching import ModelSample
from modelservice_runtime.settings.models import ModelSource
from modelservice_runtime.settings.serve import ServeSettings
from modelservice_runtime.settings.sessions import CudaOptions

SERVER_FIELDS = {"model": {"storageUri": "oci://registry.example/models/spam:3"}}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return onnx_models.save_mlp(tmp_path / "mlp.onnx")


def write_manifest(directory: Path, spec: dict[str, object], name: str = "spam") -> Path:
    document = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": name},
        "spec": spec,
    }
    path = directory / "modelservice.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServeSettings]:
    """Settings that the command would serve with."""
    collected: list[ServeSettings] = []

    def run_server(settings: ServeSettings) -> int:
        collected.append(settings)
        return 0

    monkeypatch.setattr("modelservice_runtime.serving.serve.run_server", run_server)
    return collected


def test_serve_with_models_listens_on_this_machine_only(served: list[ServeSettings], model: Path) -> None:
    assert command.main(["serve", "--model", f"a={model}", "--model", f"b={model}", "--http-port", "0"]) == 0
    assert served[0].models == (ModelSource("a", model), ModelSource("b", model))
    assert (served[0].host, served[0].http_port) == ("127.0.0.1", 0)


def test_serve_maps_the_manifest_to_the_same_settings(
    served: list[ServeSettings], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_manifest(
        tmp_path,
        {
            "model": {"storageUri": "oci://registry.example/models/spam:3", "version": "3"},
            "runtime": {"executionProviders": ["CPU"], "intraOpThreads": 2},
            "batching": {"maxBatchSize": 16, "maxDelayMilliseconds": 4},
            "replicas": 3,
        },
    )
    assert command.main(["serve", "-f", str(manifest), "--model", str(model)]) == 0
    settings = served[0]
    assert settings.models == (ModelSource("spam", model),)
    assert (settings.model_version, settings.intra_op_threads, settings.max_batch_size) == ("3", 2, 16)
    assert settings.max_batch_delay_seconds == 0.004
    assert "no effect: spec.replicas" in capsys.readouterr().err


def test_serve_flags_win_over_the_manifest(served: list[ServeSettings], model: Path, tmp_path: Path) -> None:
    spec = SERVER_FIELDS | {"batching": {"maxBatchSize": 16}, "runtime": {"executionProviders": ["CPU"]}}
    manifest = write_manifest(tmp_path, spec)
    arguments = ["--max-batch-size", "1", "--execution-provider", "OpenVINO", "--model-version", "9"]
    assert command.main(["serve", "-f", str(manifest), "--model", f"spam={model}", *arguments]) == 0
    assert served[0].max_batch_size == 1
    assert served[0].execution_providers == ("OpenVINO",)
    assert served[0].model_version == "9"
    assert served[0].models[0].path == model


def test_serve_with_gpu_in_the_manifest_asks_for_cuda(
    served: list[ServeSettings], model: Path, tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path, SERVER_FIELDS | {"gpu": {"count": 1}})
    assert command.main(["serve", "-f", str(manifest), "--model", str(model)]) == 0
    assert served[0].execution_providers == ("CUDA",)


def test_serve_takes_accelerator_options_from_the_manifest_below_flags(
    served: list[ServeSettings], model: Path, tmp_path: Path
) -> None:
    options = {"cuda": {"memoryLimit": "8Gi", "graphs": True}}
    manifest = write_manifest(tmp_path, SERVER_FIELDS | {"gpu": {"count": 1}, "runtime": options})
    arguments = ["--cuda-memory-limit", "1Gi"]
    assert command.main(["serve", "-f", str(manifest), "--model", str(model), *arguments]) == 0
    assert served[0].cuda == CudaOptions(memory_limit_bytes=1 << 30, graphs=True)


def test_serve_takes_name_server_options_and_environment_from_the_manifest(
    served: list[ServeSettings],
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("OTEL_TRACES_SAMPLER", raising=False)
    server = {"maxRequestBytes": "1Mi", "maxConnectionAgeSeconds": 0, "workers": 2, "accessLog": "all"}
    shape = {"input": "x:0", "shape": [1, 4]}
    env = [
        {"name": "OTEL_SERVICE_NAME", "value": "theirs"},
        {"name": "OTEL_TRACES_SAMPLER", "value": "always_off"},
        {"name": "OTEL_EXPORTER_OTLP_HEADERS", "secretName": "telemetry"},
    ]
    spec = {
        "model": {**SERVER_FIELDS["model"], "name": "junk", "samples": {"shapes": [shape]}},
        "server": server,
        "batching": {"maxBatchSize": 8, "rowsAreIndependent": True},
        "env": env,
        "childMetadata": {"labels": {"a": "b"}},
        "networkPolicy": {"mode": "Disabled"},
    }
    manifest = write_manifest(tmp_path, spec)

    arguments = ["--model", f"junk={model}", "--workers", "3"]
    assert command.main(["serve", "-f", str(manifest), *arguments]) == 0

    settings = served[0]
    assert settings.models == (ModelSource("junk", model),)
    assert (settings.max_request_bytes, settings.workers, settings.access_log.rate) == (1 << 20, 3, 1.0)
    assert settings.connections.max_connection_age_seconds is None
    assert settings.connections.idle_timeout_seconds == 620
    assert (settings.max_batch_size, settings.rows_are_independent) == (8, True)
    assert settings.samples == (ModelSample("x:0:1x4"),)
    assert (os.environ.pop("OTEL_TRACES_SAMPLER"), os.environ["OTEL_SERVICE_NAME"]) == ("always_off", "mine")
    notice = capsys.readouterr().err
    assert "spec.childMetadata, spec.networkPolicy, spec.env[OTEL_EXPORTER_OTLP_HEADERS].secretName" in notice


def test_serve_with_a_manifest_says_that_the_model_has_its_name(
    served: list[ServeSettings], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_manifest(tmp_path, SERVER_FIELDS)

    assert command.main(["serve", "-f", str(manifest), "--model", f"ham={model}"]) == 1

    assert not served
    assert "-f calls the model 'spam': give --model PATH, or set spec.model.name" in capsys.readouterr().err


def test_serve_verifies_the_digest_of_a_local_file(
    served: list[ServeSettings], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    for expected, code in ((digest, 0), ("0" * 64, 1)):
        spec = {"model": {"storageUri": "oci://registry.example/models/spam:3", "sha256": expected}}
        manifest = write_manifest(tmp_path, spec)
        assert command.main(["serve", "-f", str(manifest), "--model", str(model)]) == code
    assert len(served) == 1
    assert "DigestMismatch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["serve"], 2, "no model to serve"),
        (["serve", "--model", "x"], 2, "NAME=PATH"),
        (["serve", "--credentials-dir", "x"], 2, "--credentials-dir needs -f"),
        (["serve", "-f", "{manifest}", "--model", "a", "--model", "b"], 2, "at most one --model"),
        (["serve", "-f", "/nowhere.yaml"], 1, "cannot read /nowhere.yaml"),
        (["unknown"], 2, "invalid choice"),
        (
            ["serve", "--tcp-port", "1"],
            2,
            "unrecognized arguments: --tcp-port 1; see 'modelservice serve --help'",
        ),
        (["rollout", "status", "spam", "-q"], 2, "see 'modelservice rollout status --help'"),
    ],
)
def test_wrong_usage_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, part: str
) -> None:
    manifest = write_manifest(tmp_path, dict(SERVER_FIELDS))
    assert command.main([argument.format(manifest=manifest) for argument in arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("modelservice: ")
    assert part in error


@pytest.mark.parametrize("word", ["version", "--version"])
def test_version_prints_the_distribution(capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert command.main([word]) == 0
    assert capsys.readouterr().out.startswith("modelservice 0.")


def test_without_a_command_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 2
    assert "serve" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: [", "not valid YAML"),
        ("kind: ConfigMap\n", "holds 0 objects of kind ModelService"),
        ("kind: ModelService\n---\nkind: ModelService\n", "holds 2 objects"),
        ("kind: ModelService\nspec: {}\n", "apiVersion"),
    ],
)
def test_read_manifest_of_something_else_says_what(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(CommandError) as caught:
        read_manifest(str(path))
    assert part in str(caught.value)


def test_read_manifest_names_unknown_fields(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, SERVER_FIELDS | {"replica": 1})
    with pytest.raises(CommandError, match=r"spec\.replica: unknown field"):
        read_manifest(str(manifest))


def test_read_manifest_passes_over_other_objects(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, dict(SERVER_FIELDS))
    manifest.write_text("kind: Namespace\n---\n" + manifest.read_text() + "---\n")
    assert read_manifest(str(manifest)).name == "spam"


def test_locate_model_of_cluster_storage_asks_for_a_path(tmp_path: Path) -> None:
    service = read_manifest(
        str(write_manifest(tmp_path, {"model": {"storageUri": "pvc://claim/model.onnx"}}))
    )
    with pytest.raises(CommandError, match="--model PATH"):
        locate_model(service, None, SecretDirectories(), tmp_path)


def test_default_cache_directory_follows_xdg() -> None:
    assert default_cache_directory({"XDG_CACHE_HOME": "/c"}) == Path("/c/modelservice/models")
    assert default_cache_directory({"HOME": "/h"}) == Path("/h/.cache/modelservice/models")


def test_serve_fetches_a_remote_model_once_into_the_cache(tmp_path: Path, model: Path) -> None:
    """A real web server on the loopback address; with a digest the second start needs it no more."""
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    with run_web_server(tmp_path) as address:
        spec = {"model": {"storageUri": f"{address}/mlp.onnx", "sha256": digest}}
        service = read_manifest(str(write_manifest(tmp_path, spec)))
        fetched = locate_model(service, None, SecretDirectories(), tmp_path / "cache")
    assert fetched.read_bytes() == model.read_bytes()
    assert locate_model(service, None, SecretDirectories(), tmp_path / "cache") == fetched


def write_encrypted(folder: Path, model: Path, address: str) -> Path:
    """Encrypt `model` for the key in `folder`/key.txt; return the manifest that names it."""
    private, public = new_identity()
    (folder / "key.txt").write_text(private)
    with model.open("rb") as plain, (folder / "mlp.onnx.age").open("wb") as sealed:
        encrypt(plain, sealed, [parse_recipient(public)])
    digest = hashlib.sha256((folder / "mlp.onnx.age").read_bytes()).hexdigest()
    uri = f"{address}/mlp.onnx.age"
    decryption = {"maxSize": "1Mi", "decryption": {"secretName": "key"}}
    return write_manifest(folder, {"model": {"storageUri": uri, "sha256": digest, **decryption}})


def test_locate_model_decrypts_into_memory_for_as_long_as_the_process_lives(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, cache = tmp_path / "memory", tmp_path / "cache"
    memory.mkdir()
    at_end: list[Callable[[], None]] = []
    monkeypatch.setattr(model_files, "_MEMORY", memory)
    monkeypatch.setattr("atexit.register", lambda function, *given: at_end.append(partial(function, *given)))
    with run_web_server(tmp_path) as address:
        service = read_manifest(str(write_encrypted(tmp_path, model, address)))
        found = locate_model(service, None, SecretDirectories(None, tmp_path), cache)
    assert found.is_relative_to(memory)
    assert found.read_bytes() == model.read_bytes()
    assert [path for path in cache.rglob("*") if path.is_file()] == []

    (remove,) = at_end
    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: 1)  # in a child
        remove()
    assert found.exists()
    remove()
    assert list(memory.iterdir()) == []


def test_locate_model_that_is_encrypted_asks_for_the_key(tmp_path: Path, model: Path) -> None:
    service = read_manifest(str(write_encrypted(tmp_path, model, "https://h.example")))
    with pytest.raises(CommandError, match="--decryption-dir DIR"):
        locate_model(service, None, SecretDirectories(), tmp_path / "cache")
    # The digest is that of the encrypted file.
    assert locate_model(service, model, SecretDirectories(), tmp_path / "cache") == model


@contextmanager
def run_web_server(folder: Path) -> Iterator[str]:
    """The address of a web server for a folder."""
    arguments = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        [*arguments, "--directory", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as web:  # fmt: skip
        assert web.stdout is not None
        port = web.stdout.readline().partition(" port ")[2].split()[0]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            web.kill()


def test_the_command_serves_and_stops_on_interrupt(model: Path) -> None:
    ports = [text for name in ("http", "metrics", "grpc") for text in (f"--{name}-port", "0")]
    program = "import sys; from modelservice_cli.main import main; sys.exit(main(sys.argv[1:]))"
    paths = os.pathsep.join(str(Path(__file__).parents[3] / name) for name in ("cli", "runtime", "operator"))
    with subprocess.Popen(
        [sys.executable, "-c", program, "serve", "--model", f"mlp={model}", *ports],
        stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": paths},
    ) as server:  # fmt: skip
        assert server.stderr is not None
        port = 0
        for line in server.stderr:
            record = json.loads(line)
            port = record.get("http_port", port)
            if record["message"] == "ready":
                break
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/mlp/ready") as response:
            assert response.status == 200
        server.send_signal(signal.SIGINT)
        assert server.wait(120) == 0
