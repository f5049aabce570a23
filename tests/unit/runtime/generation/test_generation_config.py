import json
from pathlib import Path

import pytest

from modelservice_runtime.errors import ModelLoadFailedError, ModelRejectedError
from modelservice_runtime.generation.config import is_generative, read_config
from modelservice_runtime.generation.values import Sampling


def _edited(folder: Path, target: Path, path: str, value: object) -> Path:
    """The folder's configuration with one field changed (None: left out), in `target`."""
    config = json.loads((folder / "genai_config.json").read_text())
    *parents, last = path.split(".")
    place = config
    for parent in parents:
        place = place[parent]
    place.pop(last, None)
    if value is not None:
        place[last] = value
    (target / "genai_config.json").write_text(json.dumps(config))
    return target


def _place_of(path: str) -> str:
    """What is exchanged to make a field wrong: of `search` all, for it says nothing without `do_sample`."""
    return path.partition(".")[0] if path.startswith("search.") else path


def test_a_folder_is_generative_by_its_configuration(tiny_chat: Path, tmp_path: Path) -> None:
    assert is_generative(tiny_chat)
    assert not is_generative(tmp_path)
    assert not is_generative(tiny_chat / "model.onnx")


def test_reading_tells_sizes_and_names(tiny_chat: Path) -> None:
    config = read_config(tiny_chat)

    assert (config.layers, config.kv_heads, config.head_size, config.context_length) == (2, 2, 16, 1024)
    assert config.past()[:3] == ["past_key_values.0.key", "past_key_values.0.value", "past_key_values.1.key"]
    assert config.present()[-1] == "present.1.value"
    assert config.eos_ids == {2}


ADVISED = {"do_sample": True, "temperature": 0.25, "top_p": 0.5, "top_k": 20, "repetition_penalty": 1.5}


@pytest.mark.parametrize(
    ("search", "sampling"),
    [
        (None, Sampling()),
        ({**ADVISED, "do_sample": False}, Sampling()),
        (ADVISED, Sampling(temperature=0.25, top_p=0.5, top_k=20, repetition_penalty=1.5)),
        ({"do_sample": True}, Sampling()),
        ({"do_sample": True, "repetition_penalty": 1e-45}, Sampling(repetition_penalty=0.01)),
        ({**ADVISED, "temperature": None, "top_k": 0}, Sampling(top_p=0.5, repetition_penalty=1.5)),
    ],
)
def test_sampling_is_what_the_makers_advise(
    tiny_chat: Path, tmp_path: Path, search: object, sampling: Sampling
) -> None:
    assert read_config(_edited(tiny_chat, tmp_path, "search", search)).sampling == sampling


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("search", [1]),
        ("search.temperature", {"do_sample": True, "temperature": "hot"}),
        ("search.top_p", {"do_sample": True, "top_p": 2}),
        ("model", None),
        ("model.decoder", [1]),
        ("model.decoder.head_size", None),
        ("model.decoder.head_size", "16"),
        ("model.decoder.num_hidden_layers", True),
        ("model.decoder.num_hidden_layers", 0),
        ("model.decoder.num_hidden_layers", 10_000),
        ("model.decoder.num_key_value_heads", 2**40),
        ("model.context_length", 1.5),
        ("model.eos_token_id", []),
        ("model.eos_token_id", [2, "3"]),
        ("model.decoder.filename", ""),
        ("model.decoder.inputs.past_key_names", "past.key"),
        ("model.decoder.inputs.past_key_names", "past.%d.%s"),
        ("model.decoder.inputs.past_key_names", "past.%s"),
    ],
)
def test_a_field_that_is_wrong_is_named(tiny_chat: Path, tmp_path: Path, path: str, value: object) -> None:
    with pytest.raises(ModelLoadFailedError, match=path.replace(".", r"\.")):
        read_config(_edited(tiny_chat, tmp_path, _place_of(path), value))


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("model.vision", {"filename": "vision.onnx"}, "pictures"),
        ("model.speech", {"filename": "speech.onnx"}, "sound"),
        ("model.encoder", {"filename": "encoder.onnx"}, "encoder"),
        ("model.decoder.sliding_window", {"window_size": 128}, "sliding window"),
        ("model.decoder.pipeline", [{"decoder": {}}], "one"),
        ("model.decoder.head_size", 72, "multiples of 16"),
        ("model.decoder.filename", "../other/model.onnx", "outside"),
    ],
)
def test_what_cannot_be_served_is_refused(
    tiny_chat: Path, tmp_path: Path, path: str, value: object, word: str
) -> None:
    with pytest.raises(ModelRejectedError, match=word):
        read_config(_edited(tiny_chat, tmp_path, path, value))


@pytest.mark.parametrize("content", ["", "[]", "{" * 100_000, "[" * 100_000, "x" * 2_000_000, "\udc80"])
def test_a_file_that_is_no_configuration_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "genai_config.json").write_bytes(content.encode("utf-8", "surrogateescape"))

    with pytest.raises(ModelLoadFailedError, match=r"genai_config\.json"):
        read_config(tmp_path)
