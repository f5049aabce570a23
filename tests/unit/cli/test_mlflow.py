"""What MLflow says becomes flags of deploy and arrays for a model; without MLflow itself."""

import numpy as np
import pytest

from modelservice_cli.errors import CommandError
from modelservice_cli.mlflow.ask import to_arrays
from modelservice_cli.mlflow.target import parse_config, parse_namespace
from modelservice_pipeline.model.port import Port

ROW = Port("x", "float32", (None, 2))
TEXT, FLAG = Port("text", "object", (None,)), Port("flag", "int64", (None, 1))


class Frame:
    """As much of a data frame as is asked of one."""

    def __init__(self, **columns: list[object]) -> None:
        self._columns = columns

    def to_dict(self, form: str) -> dict[str, list[object]]:
        assert form == "list"
        return self._columns


@pytest.mark.parametrize(
    ("target", "namespace"),
    [("modelservice", None), ("modelservice://mail", "mail"), ("modelservice:/mail", "mail")],
)
def test_parse_namespace_of_a_target(target: str, namespace: str | None) -> None:
    assert parse_namespace(target) == namespace


@pytest.mark.parametrize(
    "target", ["modelservice://", "modelservice://a/b", "sagemaker://a", "modelservice://a?b=c"]
)
def test_parse_namespace_of_others_is_refused(target: str) -> None:
    with pytest.raises(CommandError, match="modelservice://NAMESPACE"):
        parse_namespace(target)


def test_parse_config_takes_flags_by_their_names() -> None:
    config = {
        "registry": "r.example/m",
        "replicas": "2",
        "plain_http": "true",
        "no-wait": "false",
        "tag": "-1",
    }
    found = parse_config("folder", "spam", "mail", {**config, "tag": "-1"})
    assert (found.model, found.name, found.namespace) == ("folder", "spam", "mail")
    assert (found.registry, found.replicas, found.plain_http, found.no_wait) == (
        "r.example/m",
        2,
        True,
        False,
    )
    assert found.tag == "-1"


@pytest.mark.parametrize(
    "config", [{"nonsense": "1"}, {"replicas": "many"}, {"name": "x"}, {"dry_run": "true"}]
)
def test_parse_config_others_are_refused(config: dict[str, str]) -> None:
    with pytest.raises(CommandError):
        parse_config("folder", "spam", None, config)


@pytest.mark.parametrize(
    ("ports", "inputs", "arrays"),
    [
        ((ROW,), {"x": [[1, 2], [3, 4]]}, {"x": [[1, 2], [3, 4]]}),
        ((ROW,), Frame(a=[1, 3], b=[2, 4]), {"x": [[1, 2], [3, 4]]}),
        ((TEXT, FLAG), Frame(flag=[7, 8], text=["a", "b"]), {"text": ["a", "b"], "flag": [[7], [8]]}),
    ],
)
def test_to_arrays_fits_tables_and_arrays(ports, inputs: object, arrays: dict[str, object]) -> None:
    found = to_arrays(ports, inputs)
    assert {name: array.tolist() for name, array in found.items()} == arrays
    assert [array.dtype for array in found.values()] == [np.dtype(port.dtype) for port in ports]


@pytest.mark.parametrize(
    "inputs", [[1, 2], {}, {"x": [["a", "b"]]}, {"x": [[1], [2, 3]]}, Frame(a=[1], b=[[2, 3]])]
)
def test_to_arrays_that_do_not_fit_are_refused(inputs: object) -> None:
    with pytest.raises(CommandError):
        to_arrays((ROW,), inputs)


def test_to_arrays_names_what_the_model_takes() -> None:
    with pytest.raises(CommandError, match=r"takes text, flag, and was given words"):
        to_arrays((TEXT, FLAG), {"words": ["a"]})
