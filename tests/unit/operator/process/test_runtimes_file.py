"""ModelRuntimes of a release that may read none of the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelservice_operator.facts.errors import OperatorError
from modelservice_operator.facts.labels import is_default_runtime, is_installed_runtime
from modelservice_operator.process.runtimes_file import load_runtimes

if TYPE_CHECKING:
    from pathlib import Path

TWO = """
---
apiVersion: modelservice.dev/v1alpha1
kind: ModelRuntime
metadata: {name: onnx, annotations: {modelservice.dev/is-default-runtime: "true"}}
spec: {image: "registry.example/runtime:1"}
---
apiVersion: modelservice.dev/v1alpha1
kind: ModelRuntime
metadata: {name: other}
spec: {image: "registry.example/other:1"}
---
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runtimes.yaml"


def test_load_runtimes_reads_every_document_as_one_that_is_installed(file: Path) -> None:
    file.write_text(TWO)
    default, other = load_runtimes(str(file))
    assert (default["metadata"]["name"], other["metadata"]["name"]) == ("onnx", "other")
    assert is_default_runtime(default)
    assert not is_default_runtime(other)
    assert is_installed_runtime(default)
    assert is_installed_runtime(other)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("---\n", "holds no ModelRuntime"),
        ("kind: ConfigMap\nmetadata: {name: a}", "no ModelRuntime with a name"),
        ("kind: ModelRuntime\nmetadata: {}", "no ModelRuntime with a name"),
        ("[1]", "no ModelRuntime with a name"),
        ("kind: ModelRuntime\nmetadata: {name: a}\nspec: {}", r"'a'.*spec\.image"),
    ],
)
def test_load_runtimes_says_what_is_wrong(file: Path, text: str | None, sentence: str) -> None:
    if text is not None:
        file.write_text(text)
    with pytest.raises(OperatorError, match=sentence):
        load_runtimes(str(file))
