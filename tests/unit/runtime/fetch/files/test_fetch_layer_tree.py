from typing import Any, cast

import pytest

from modelservice_runtime.fetch.files.layer_tree import LayerTree
from modelservice_runtime.fetch.files.unpacking import Unpacked


def layer(*paths: str, removed: tuple[str, ...] = ()) -> Unpacked:
    """A layer whose models were written, each as its own name."""
    files = {path: path for path in paths if path.endswith(".onnx")}
    return Unpacked(set(paths), set(removed), cast("dict[str, Any]", files), 10)


def lay(*layers: Unpacked) -> LayerTree:
    tree = LayerTree()
    for number, found in enumerate(layers):
        tree.add(number, found)
    return tree


def test_layer_tree_the_highest_layer_has_the_newest_form():
    tree = lay(layer("m/a.onnx", "m/w.bin"), layer("m/w.bin"))
    assert tree.layers == {"m/a.onnx": 0, "m/w.bin": 1}
    assert tree.size_bytes == 20


def test_layer_tree_models_are_those_of_the_topmost_layer_that_has_any():
    samples = layer("site-packages/onnxruntime/datasets/sigmoid.onnx")
    assert lay(samples, layer("models/m.onnx"), layer("readme")).models == {"models/m.onnx"}


@pytest.mark.parametrize("removed", ["m/a.onnx", "m", "m/", "/"])
def test_layer_tree_whiteouts_remove_files_and_folders_below(removed):
    tree = lay(layer("m/a.onnx", "mm/b.onnx"), layer("m/c.onnx", removed=(removed,)))
    assert "m/a.onnx" not in tree.layers
    assert "m/a.onnx" not in tree.files
    assert ("mm/b.onnx" in tree.layers) == (removed != "/")
    assert tree.models == {"m/c.onnx"}


def test_layer_tree_nothing_has_no_models():
    assert LayerTree().models == set()
