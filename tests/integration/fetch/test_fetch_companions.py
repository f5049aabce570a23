"""What lies beside a model comes along from every kind of source, where it is wanted; what lacks is told."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from tests.integration.fetch.fetch_hubs import Hub, HubRepository
from tests.integration.fetch.fetch_models import WEIGHTS, make_encoder, make_model, make_tar

from modelservice_runtime.fetch.adapters import build_adapter_requests, fetch_adapter
from modelservice_runtime.fetch.errors import FetchReason
from modelservice_runtime.fetch.main import build_parser

MODEL = make_model("w.bin")
PROOF = {"proof.json": b"{}", "proof.npz": b"PK"}
WANTED = {"model.onnx": MODEL, "w.bin": WEIGHTS, **PROOF}
CHAT = {
    "model.onnx": MODEL,
    "w.bin": WEIGHTS,
    "genai_config.json": b"{}",
    "tokenizer.json": b"{ }",
    "tokenizer_config.json": b"{  }",
    "chat_template.jinja": b"{{ messages }}",
}

TEXTS = {
    "model.onnx": make_encoder(),
    "tokenizer.json": b"{ }",
    "1_Pooling/config.json": b"{}",
    "modules.json": b"[]",
    "sentence_bert_config.json": b"{ }",
    "tokenizer_config.json": b"{  }",
    "config.json": b"{   }",
}


@pytest.fixture
def hub(https: Any, other_https: Any) -> Hub:
    return Hub(https, other_https)


@pytest.fixture(params=["web", "bucket", "prefix", "hub", "layers", "archive"])
def stored(request: Any, fetcher: Any, https: Any, hub: Hub) -> Any:
    """Store files beside each other in a source; returns what to fetch, and with what."""

    def store(files: dict[str, bytes]) -> tuple[str, dict[str, Any]]:
        kind = request.param
        model = next(name for name in files if name.endswith("model.onnx"))
        if kind == "web":
            known = WANTED.keys() | CHAT.keys() | TEXTS.keys()
            for name in (known | {f"onnx/{name}" for name in known}) - files.keys():
                https.answer(f"/m/{name}", 404)
            urls = {name: https.serve(f"/m/{name}", data) for name, data in files.items()}
            return urls[model], {}
        if kind in ("bucket", "prefix"):
            source = request.getfixturevalue("store")
            folder = hashlib.sha256(repr((kind, sorted(files))).encode()).hexdigest()[:8]
            for name, data in files.items():
                source.put(f"/models/{folder}/{name}", data)
            credentials = {"credentials_directory": fetcher.credentials(**source.keys)}
            return f"s3://models/{folder}/" + (model if kind == "bucket" else ""), credentials
        if kind == "hub":
            hub.repositories["org/spam"] = HubRepository()
            hub.repositories["org/spam"].commit({f"a/{name}": data for name, data in files.items()})
            return "hf://org/spam", {"environment": {"HF_ENDPOINT": hub.endpoint}}
        registry, tls_registry = (request.getfixturevalue(name) for name in ("registry", "tls_registry"))
        layers = list(files.items()) if kind == "layers" else [(None, make_tar(files, "gz"))]
        registry.push("models/proven", "1", *layers)
        return f"oci://{tls_registry.name}/models/proven:1", {}

    return store


async def test_proof_comes_along_where_it_is_wanted(stored: Any, fetcher: Any) -> None:
    uri, more = stored(WANTED)
    await fetcher.fetch(uri, with_proof=True, **more)
    assert fetcher.files == WANTED


async def test_proof_stays_behind_where_it_is_not(stored: Any, fetcher: Any) -> None:
    uri, more = stored(WANTED)
    await fetcher.fetch(uri, **more)
    assert fetcher.files == {"model.onnx": MODEL, "w.bin": WEIGHTS}


async def test_model_without_its_proof_is_refused(stored: Any, fetcher: Any) -> None:
    uri, more = stored({name: data for name, data in WANTED.items() if name not in PROOF})
    error = await fetcher.fail(uri, with_proof=True, **more)
    assert error.reason is FetchReason.MODEL_NOT_FOUND
    assert "spec.model.verify needs the proof of" in error.message
    assert "proof.json" in error.message
    assert "model.onnx" not in fetcher.files


@pytest.mark.parametrize("left_out", [(), ("tokenizer_config.json",), ("chat_template.jinja", "w.bin")])
async def test_what_a_generative_model_needs_comes_along(
    left_out: tuple[str, ...], stored: Any, fetcher: Any
) -> None:
    files = {name: data for name, data in CHAT.items() if name not in left_out}
    if "w.bin" in left_out:
        files["model.onnx"] = make_model()
    uri, more = stored({**files, "readme.md": b"not wanted"})
    await fetcher.fetch(uri, generative=True, **more)
    assert fetcher.files == files


@pytest.mark.parametrize("lacking", ["genai_config.json", "tokenizer.json"])
async def test_generative_model_without_what_it_needs_is_refused(
    lacking: str, stored: Any, fetcher: Any
) -> None:
    uri, more = stored({name: data for name, data in CHAT.items() if name != lacking})
    error = await fetcher.fail(uri, generative=True, **more)
    assert error.reason is FetchReason.MODEL_NOT_FOUND
    assert "spec.generation needs what tells how" in error.message
    assert lacking in error.message
    assert "model.onnx" not in fetcher.files


@pytest.mark.parametrize("left_out", [(), ("1_Pooling/config.json", "config.json")])
async def test_the_tokenizer_beside_a_model_that_takes_tokens_comes_along(
    left_out: tuple[str, ...], stored: Any, fetcher: Any
) -> None:
    files = {name: data for name, data in TEXTS.items() if name not in left_out}
    uri, more = stored({**files, "vocab.txt": b"not read", "pytorch_model.bin": b"not wanted"})
    await fetcher.fetch(uri, **more)
    assert fetcher.files == files


async def test_an_exporters_folder_has_the_tokenizer_above_the_graph(stored: Any, fetcher: Any) -> None:
    names = {name: f"onnx/{name}" if name in ("model.onnx", "config.json") else name for name in TEXTS}
    uri, more = stored({name: TEXTS[key] for key, name in names.items()})
    await fetcher.fetch(uri, **more)
    assert fetcher.files == {name: data for name, data in TEXTS.items() if name != "config.json"}


@pytest.mark.parametrize(
    "files",
    [
        {name: data for name, data in TEXTS.items() if name != "tokenizer.json"},  # of no use without it
        {**TEXTS, "model.onnx": make_model()},
    ],
)
async def test_the_graph_comes_alone_where_texts_are_no_business_of_it(
    files: dict[str, bytes], stored: Any, fetcher: Any
) -> None:
    uri, more = stored(files)
    await fetcher.fetch(uri, **more)
    assert fetcher.files == {"model.onnx": files["model.onnx"]}


async def test_a_tokenizer_that_may_not_be_read_keeps_no_model_from_its_pod(https: Any, fetcher: Any) -> None:
    uri = https.serve("/m/model.onnx", TEXTS["model.onnx"])
    https.answer("/m/tokenizer.json", 403)
    await fetcher.fetch(uri)
    assert fetcher.files == {"model.onnx": TEXTS["model.onnx"]}


@pytest.mark.parametrize("query", ["", "?signature=1"])
async def test_what_nothing_pins_is_not_asked_for(query: str, http: Any, https: Any, fetcher: Any) -> None:
    server = https if query else http
    uri = server.serve("/m/model.onnx", TEXTS["model.onnx"])
    server.serve("/m/tokenizer.json", b"{}")
    await fetcher.fetch(uri + query, sha256=hashlib.sha256(TEXTS["model.onnx"]).hexdigest())
    assert fetcher.files == {"model.onnx": TEXTS["model.onnx"]}


@pytest.mark.parametrize("stored", ["web", "bucket", "prefix", "hub", "layers"], indirect=True)
async def test_an_adapter_is_one_file_from_every_kind_of_source(
    stored: Any, fetcher: Any, tmp_path: Path
) -> None:
    uri, more = stored({"law.onnx_adapter": b"weights", "model.onnx": MODEL, "w.bin": WEIGHTS})
    credentials = more.pop("credentials_directory", None) or fetcher.credentials()
    uri = uri.replace("model.onnx", "law.onnx_adapter")
    flags = ["--adapter", f"law/law.onnx_adapter={uri}", "--adapters-dir", str(tmp_path / "adapters")]
    arguments = build_parser().parse_args([*flags, "--adapter-credentials-dir", f"law={credentials}"])
    model = fetcher.request("", credentials_directory=None, **more)
    (wanted,) = build_adapter_requests(arguments, model)
    await fetch_adapter(wanted)

    assert (tmp_path / "adapters" / "law" / "law.onnx_adapter").read_bytes() == b"weights"
