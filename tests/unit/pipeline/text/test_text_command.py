"""`modelservice model text`: a file that the server takes, or a sentence and no file."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.unit.pipeline.text.small_tokenizers import bert
from tests.unit.runtime.server_thread import ServerThread
from tokenizers import Tokenizer

from modelservice_pipeline.commands import text
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.text import models
from modelservice_pipeline.text.corpus import TEXTS

WIDTH = 4
VECTORS = np.random.default_rng(0).normal(size=(2000, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(bert(lowercase=True).to_str(), encoding="utf-8")
    return path


def _write_core(path: Path, opset: int, ids: int = TensorProto.INT64, extra: str | None = None) -> Path:
    """A model of tokens; it has names of constants as the graph of the tokenizer has too."""
    names = ["input_ids", "attention_mask", "token_type_ids", *([extra] if extra else [])]
    nodes = [
        helper.make_node("Gather", ["constant_1", "input_ids"], ["found"]),
        helper.make_node("ReduceMean", ["found"], ["mean"], keepdims=1),
        helper.make_node("Add", ["found", "mean"], ["last_hidden_state"]),
    ]
    graph = helper.make_graph(
        nodes,
        "core",
        [helper.make_tensor_value_info(name, ids, ["batch", "tokens"]) for name in names],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", WIDTH])],
        [numpy_helper.from_array(VECTORS, "constant_1")],
    )
    if opset >= 18:
        graph.initializer.append(numpy_helper.from_array(np.array([2]), "axes"))
        graph.node[1].input.append("axes")
    else:
        graph.node[1].attribute.append(helper.make_attribute("axes", [2]))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def run(*words: str | Path) -> None:
    parser = argparse.ArgumentParser()
    text.add_arguments(parser)
    assert text.run(parser.parse_args([str(word) for word in words])) == 0


@pytest.mark.parametrize(
    ("opset", "ids"), [(13, TensorProto.INT64), (18, TensorProto.INT32), (21, TensorProto.INT64)]
)
def test_joined_model_answers_the_mean_of_the_vectors(
    tokenizer: Path, tmp_path: Path, opset: int, ids: int, capsys: pytest.CaptureFixture[str]
):
    core = _write_core(tmp_path / "core.onnx", opset, ids)
    out = tmp_path / "model.onnx"
    run(tokenizer, core, "--pool", "mean", "--normalize", "--output", out, "--json")
    facts = json.loads(capsys.readouterr().out)
    assert facts["texts"] == len(TEXTS)
    assert facts["largest_difference_to_the_model"] < 1e-6
    model = OnnxModel(out)
    library = Tokenizer.from_file(str(tokenizer))
    embeddings = model.run({"text": np.array(["Hello, world!", ""], object)})["embedding"]
    for text_in, got in zip(["Hello, world!", ""], embeddings, strict=True):
        vectors = VECTORS[library.encode(text_in).ids]
        mean = (vectors + vectors.mean(1, keepdims=True)).mean(0)
        np.testing.assert_allclose(got, mean / np.linalg.norm(mean), rtol=1e-5)


@pytest.mark.parametrize(("kind", "place"), [("cls", 0), ("last", -1)])
def test_one_token_stands_for_the_text(tokenizer: Path, tmp_path: Path, kind: str, place: int):
    core = _write_core(tmp_path / "core.onnx", 20)
    run(tokenizer, core, "--pool", kind, "--output", tmp_path / "model.onnx")
    texts = ["hello", "a much longer text, so that the first one is padded"]
    got = OnnxModel(tmp_path / "model.onnx").run({"text": np.array(texts, object)})["embedding"]
    vectors = VECTORS[[Tokenizer.from_file(str(tokenizer)).encode(one).ids[place] for one in texts]]
    np.testing.assert_allclose(got, vectors + vectors.mean(1, keepdims=True), rtol=1e-5)


def test_server_takes_the_tokenizer_and_answers_its_tokens(tokenizer: Path, tmp_path: Path):
    repository = tmp_path / "models"
    (repository / "words").mkdir(parents=True)
    run(tokenizer, "--max-length", "5", "--output", repository / "words" / "model.onnx")
    library = Tokenizer.from_file(str(tokenizer))
    library.enable_truncation(5)
    texts = ["Hello, world! " * 9, "", "日本"]
    with ServerThread({"words": repository / "words" / "model.onnx"}) as server:
        inputs = [{"name": "text", "datatype": "BYTES", "shape": [3], "data": texts}]
        answer = server.infer("words", inputs).json()
    ids, mask = (np.reshape(output["data"], output["shape"]) for output in answer["outputs"])
    got = [row[kept == 1].tolist() for row, kept in zip(ids, mask, strict=True)]
    assert got == [library.encode(one).ids for one in texts]


def test_tokens_become_texts_again(tokenizer: Path, tmp_path: Path):
    run(tokenizer, "--decode", "--output", tmp_path / "texts.onnx")
    library = Tokenizer.from_file(str(tokenizer))
    ids = library.encode("Hello, world!").ids
    answer = OnnxModel(tmp_path / "texts.onnx").run({"ids": np.array([ids, [-1] * len(ids)])})
    assert answer["text"].tolist() == [library.decode(ids), ""]


def test_tokens_that_differ_are_refused_with_the_text_and_no_file_is_written(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = models._read_word_piece
    monkeypatch.setitem(
        models._KINDS, "WordPiece", lambda config: real({**config, "max_input_chars_per_word": 3})
    )
    with pytest.raises(PipelineError, match=r"'Hello, world!' the graph has from token 1 on \['<unk>'"):
        run(tokenizer, "--output", tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def _change(tokenizer: Path, tmp_path: Path, **parts: Any) -> Path:
    config = json.loads(tokenizer.read_text(encoding="utf-8")) | parts
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (
            {"model": {"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": 0}},
            "the model Unigram is not supported",
        ),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}}, "the normalizer Precompiled"),
        ({"pre_tokenizer": {"type": "UnicodeScripts"}}, "the pre-tokenizer UnicodeScripts is not supported"),
        (
            {
                "pre_tokenizer": {
                    "type": "Split",
                    "pattern": {"Regex": r"(?<=a)b"},
                    "behavior": "Isolated",
                    "invert": False,
                }
            },
            r"at character \d+ what a graph cannot do",
        ),
        ({"model": None}, "is no tokenizer.json"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": []}}, "is empty: expected the tokens"),
        ({"model": {"type": "BPE"}}, "no tokenizer.json of Hugging Face as it should be: KeyError 'vocab'"),
        ({"pre_tokenizer": {"type": "Split", "pattern": "x"}}, "as it should be"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    tokenizer: Path, tmp_path: Path, parts: dict[str, Any], sentence: str
):
    with pytest.raises(PipelineError, match=sentence):
        run(_change(tokenizer, tmp_path, **parts), "--output", tmp_path / "model.onnx")


def test_letters_of_one_other_case_are_written_and_compared(tokenizer: Path, tmp_path: Path):
    split = {
        "type": "Split",
        "pattern": {"Regex": r"(?i:'s|'t|'re|'ve|'m|'ll|'d|abc|[a-m]+|k+)|\s+|\S"},
        "behavior": "Isolated",
        "invert": False,
    }
    texts = tmp_path / "texts.txt"
    texts.write_text("\u017f\u017f SS ß ẞ 'S '\u017ft ABC aBcd K \u212a ffi ﬁ İ i\n", encoding="utf-8")
    run(
        _change(tokenizer, tmp_path, pre_tokenizer=split),
        *("--output", tmp_path / "model.onnx", "--texts", texts),
    )


def test_json_nested_deeper_than_python_reads_is_told(tmp_path: Path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(PipelineError, match="is not JSON"):
        run(path, "--output", tmp_path / "model.onnx")


def test_panic_of_the_library_is_told(tokenizer: Path, tmp_path: Path):
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "special"), False)
    token = {"id": 5, "content": "\u0301", "normalized": True, **flags}
    path = _change(tokenizer, tmp_path, added_tokens=[token])
    with pytest.raises(PipelineError, match="the library tokenizers fails on this tokenizer"):
        run(path, "--output", tmp_path / "model.onnx")


def test_texts_that_the_library_refuses_are_told(tokenizer: Path, tmp_path: Path):
    words = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"}
    path = _change(tokenizer, tmp_path, model=words, added_tokens=[], post_processor=None)
    with pytest.raises(PipelineError, match=r"fails on texts with this tokenizer: .*UNK"):
        run(path, "--decode", "--output", tmp_path / "model.onnx")


def test_bad_models_and_flags_are_refused(tokenizer: Path, tmp_path: Path):
    out = ["--output", tmp_path / "model.onnx"]
    with pytest.raises(PipelineError, match="an input 'position_ids', which no tokenizer gives"):
        run(tokenizer, _write_core(tmp_path / "core.onnx", 20, extra="position_ids"), *out)
    with pytest.raises(PipelineError, match="no output 'pooler'; it has last_hidden_state"):
        run(
            tokenizer,
            _write_core(tmp_path / "core.onnx", 20),
            "--pool",
            "mean",
            "--pooled-output",
            "pooler",
            *out,
        )
    with pytest.raises(PipelineError, match="cannot be read as an ONNX model"):
        run(tokenizer, tokenizer, *out)
    with pytest.raises(PipelineError, match="add --pool mean"):
        run(tokenizer, "--normalize", *out)
    with pytest.raises(PipelineError, match="needs a MODEL"):
        run(tokenizer, "--pool", "mean", *out)
    with pytest.raises(PipelineError, match=r"cannot read .*: No such file"):
        run(tmp_path / "none.json", *out)
