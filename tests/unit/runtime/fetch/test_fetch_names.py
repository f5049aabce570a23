import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.names import choose_model, clean_path, join_path, stored_name


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("model.onnx", "model.onnx"),
        ("./a//b/./model.onnx", "a/b/model.onnx"),
        ("my model (ü).onnx", "my model (ü).onnx"),
        (".gitattributes", ".gitattributes"),
        ("..data/x", "..data/x"),
        ("", None),
        (".", None),
        ("/etc/passwd", None),
        ("a/../../b", None),
        ("..", None),
        ("a\\b", None),
        ("a\nb", None),
        ("a\0b", None),
        ("\udcff", None),
        (".fetch-1", None),
        ("ü" * 128, None),
        ("a/" * 2100 + "b", None),
    ],
)
def test_clean_path_keeps_what_stays_inside(path, cleaned):
    assert clean_path(path) == cleaned


@given(st.text(st.sampled_from("ab./\\ü "), max_size=12))
def test_clean_path_never_leads_outside(path):
    cleaned = clean_path(path)
    assert cleaned is None or not {"", ".", ".."}.intersection(cleaned.split("/"))


@pytest.mark.parametrize(
    ("paths", "model"),
    [
        (["a.onnx"], "a.onnx"),
        (["a.onnx", "a.onnx.data", "README.md"], "a.onnx"),
        (["a.onnx", "model.onnx"], "model.onnx"),
        (["onnx/model.onnx", "onnx/model_fp16.onnx", "config.json"], "onnx/model.onnx"),
        (["deep/model.onnx", "spam.onnx"], "spam.onnx"),
        (["1/model.onnx"], "1/model.onnx"),
        (["A.ONNX"], "A.ONNX"),
        (["spam.onnx", "._spam.onnx"], "spam.onnx"),
        ([".ipynb_checkpoints/a.onnx", "deep/a.onnx"], "deep/a.onnx"),
    ],
)
def test_choose_model_takes_the_nearest(paths, model):
    assert choose_model(paths, "") == model


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        (["a.txt", "b"], "a.txt, b"),
        ([], "none of the 0 files"),
        (["a.onnx", "b.onnx"], "take b.onnx"),
        (["1/model.onnx", "2/model.onnx"], "take 2/model.onnx"),
    ],
)
def test_choose_model_none_or_several_is_model_not_found(paths, named):
    with pytest.raises(FetchError) as caught:
        choose_model(paths, "take {path}")
    assert caught.value.reason is FetchReason.MODEL_NOT_FOUND
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("onnx/model_q4.onnx", "model_q4.onnx"),
        ("my model.onnx", "model.onnx"),
        (".hidden.onnx", "model.onnx"),
        ("SPAM.ONNX", "model.onnx"),
    ],
)
def test_stored_name_is_plain(path, name):
    assert stored_name(path) == name


def test_join_path_starts_from_the_model():
    assert join_path("onnx/model.onnx", "weights/a.bin") == "onnx/weights/a.bin"
    assert join_path("model.onnx", "a.bin") == "a.bin"
