import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.pipeline.predict.played_server import Reply, doubled, playing
from tests.unit.runtime.onnx_models import ONNX_TYPES
from tests.unit.runtime.server_thread import ServerThread

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.predict.endpoint import EndpointPredictor
from modelservice_pipeline.predict.file import FilePredictor
from modelservice_pipeline.predict.patience import Clock
from modelservice_pipeline.predict.server import Access


class FakeTime:
    """Time that passes where somebody waits."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waits: list[float] = []

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.seconds, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds


def access(time: FakeTime | None = None, **fields: Any) -> Access:
    return Access(clock=(time or FakeTime()).clock, **{"concurrency": 1, **fields})


def ask(url: str, rows: int, access: Access) -> np.ndarray[Any, Any]:
    return EndpointPredictor(url, access).predict({"x": np.arange(rows, dtype=np.float32)})["y"]


def after(count: int, first: Reply | None) -> Callable[[dict[str, Any]], Reply | None]:
    left = [count]

    def reply(request: dict[str, Any]) -> Reply | None:
        left[0] -= 1
        return first if left[0] >= 0 else doubled(request)

    return reply


@pytest.mark.parametrize("datatype", [name for name in ONNX_TYPES if name != "BF16"])
def test_an_endpoint_answers_as_the_file_does_for_every_datatype(
    server: ServerThread, model_files: dict[str, Path], datatype: str
) -> None:
    name = f"identity_{datatype}"
    endpoint = EndpointPredictor(f"http://127.0.0.1:{server.port}/v2/models/{name}")
    file = FilePredictor(OnnxModel(model_files[name]))
    (port,) = endpoint.inputs
    assert (endpoint.inputs, endpoint.outputs) == (file.inputs, file.outputs)
    values = ["a", "", "ü\u200b€", "x\ny"] if port.dtype == "object" else [0, 1, 1, 0]
    if port.dtype.startswith("float"):
        values = [0.5, -0.0, float("nan"), float("inf")]
    rows = np.array(values * 30, dtype=port.dtype)
    answers = [predictor.predict({port.name: rows}) for predictor in (endpoint, file)]
    for answer in answers:
        (array,) = answer.values()
        assert array.dtype == rows.dtype
        np.testing.assert_array_equal(array, rows)


def test_thousands_of_rows_come_back_in_their_order_over_several_connections(
    server: ServerThread, model_files: dict[str, Path]
) -> None:
    rows = np.random.default_rng(0).normal(size=(5000, 4))
    endpoint = EndpointPredictor(f"http://127.0.0.1:{server.port}/v2/models/mlp", Access(concurrency=3))
    expected = FilePredictor(OnnxModel(model_files["mlp"])).predict({"x": rows})
    np.testing.assert_allclose(endpoint.predict({"x": rows})["y"], expected["y"], rtol=1e-5)


def test_a_url_without_a_model_means_the_only_one(server: ServerThread) -> None:
    with pytest.raises(PipelineError, match=r"name the model in the URL.*identity_BOOL"):
        EndpointPredictor(f"http://127.0.0.1:{server.port}")


def test_a_model_that_is_not_there_is_told(server: ServerThread) -> None:
    with pytest.raises(PipelineError, match=r"404: model 'nope' is unknown.*check the model's name"):
        EndpointPredictor(f"http://127.0.0.1:{server.port}/v2/models/nope")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:1/v2/models/m", "check the address, and that the server runs"),
        ("http:///v2/models/m", "none of a server"),
        ("http://host:x/v2/models/m", "is none"),
        ("http://host/v2/models/", "does not end in a model"),
        ("http://host/v2/models/m/versions", "does not end in a model"),
        ("http://me:secret@host/v2/models/m", "keys by their flags"),
    ],
)
def test_a_bad_url_is_told_without_secrets(url: str, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence) as caught:
        EndpointPredictor(url, access())
    assert "secret" not in str(caught.value)


def test_rows_of_one_call_share_a_connection() -> None:
    with playing() as played:
        np.testing.assert_array_equal(ask(played.url, 3000, access()), np.arange(3000) * 2)
    assert played.connections == 1
    assert len(played.asked) > 1


@pytest.mark.parametrize(
    ("status", "sentence"), [(413, "the body is too large"), (400, "batch-size must be <= 8"), (507, "")]
)
def test_a_request_that_is_too_large_is_halved_until_it_fits_and_none_is_as_large_again(
    status: int, sentence: str
) -> None:
    def reply(request: dict[str, Any]) -> Reply:
        small = request["inputs"][0]["shape"][0] <= 8
        return doubled(request) if small else (status, {}, {"error": sentence})

    with playing(reply) as played:
        np.testing.assert_array_equal(ask(played.url, 300, access()), np.arange(300) * 2)
    sizes = [request["inputs"][0]["shape"][0] for request in played.asked]
    assert [size for size in sizes if size > 8] == [32, 16]


def test_one_row_that_is_too_large_is_refused_with_the_servers_sentence() -> None:
    with (
        playing(lambda _: (413, {}, {"error": "over 64 MiB"})) as played,
        pytest.raises(PipelineError, match="413: over 64 MiB"),
    ):
        ask(played.url, 5, access())


def test_another_error_is_told_at_once() -> None:
    with (
        playing(lambda _: (400, {}, {"error": "input 'x' is odd"})) as played,
        pytest.raises(PipelineError, match="400: input 'x' is odd"),
    ):
        ask(played.url, 500, access())
    assert len(played.asked) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(status: int) -> None:
    time = FakeTime()
    with playing(after(2, (status, {"Retry-After": "7"}, {"error": "busy"}))) as played:
        np.testing.assert_array_equal(ask(played.url, 4, access(time)), np.arange(4) * 2)
    assert sum(time.waits) == pytest.approx(14)


def test_a_server_that_stays_busy_is_given_up_within_the_time() -> None:
    time = FakeTime()
    with (
        playing(lambda _: (429, {"Retry-After": "7"}, {"error": "the queue is full"})) as played,
        pytest.raises(PipelineError, match=r"after 3 tries within 20 s, it answered 429: the queue is full"),
    ):
        ask(played.url, 4, access(time, seconds=20.0))
    assert time.seconds <= 20


def test_a_connection_that_breaks_is_tried_again() -> None:
    with playing(after(3, None)) as played:
        np.testing.assert_array_equal(ask(played.url, 4, access()), np.arange(4) * 2)


def test_headers_are_made_for_each_request() -> None:
    keys = iter("abcdefgh")
    with playing() as played:
        ask(played.url, 90, access(headers=lambda: {"X-Api-Key": next(keys)}))
    assert [headers["X-Api-Key"] for headers in played.headers] == ["c", "d"]


def test_a_failure_of_one_request_ends_the_others_and_is_told() -> None:
    seen = threading.Semaphore(3)

    def reply(request: dict[str, Any]) -> Reply:
        return doubled(request) if seen.acquire(blocking=False) else (500, {}, {"error": "broken"})

    with playing(reply) as played, pytest.raises(PipelineError, match="500: broken"):
        ask(played.url, 100_000, access(concurrency=3, rows_at_once=10))
    assert len(played.asked) < 20


def test_an_answer_of_another_protocol_is_told() -> None:
    with (
        playing(lambda _: (200, {}, {"predictions": []})) as played,
        pytest.raises(PipelineError, match="speaks another protocol"),
    ):
        ask(played.url, 4, access())
