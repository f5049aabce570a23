import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from tests.unit.pipeline.predict.played_server import doubled, playing
from tests.unit.runtime.server_thread import ServerThread

from modelservice_pipeline.explainer.server import Explainer, Settings

ROWS = [[0, 0, 0, 0], [1, 2, 3, 4], [-1, 0, 1, 0]]


def client_of(url: str) -> TestClient[Any, Any]:
    return TestClient(TestServer(Explainer(Settings(url, "exact")).make_application()))


@pytest_asyncio.fixture
async def client(server: ServerThread) -> AsyncIterator[TestClient[Any, Any]]:
    async with client_of(f"http://127.0.0.1:{server.port}/v2/models/mlp") as running:
        yield running


async def post(client: TestClient[Any, Any], document: Any, model: str = "mlp") -> ClientResponse:
    body = document if isinstance(document, bytes) else json.dumps(document)
    answer: ClientResponse = await client.post(f"/v1/models/{model}:explain", data=body)
    return answer


async def test_instances_are_explained_against_a_background(client: TestClient[Any, Any]) -> None:
    answer = await post(client, {"instances": [[1, 1, 1, 1], {"x": [2, 0, 0, 0]}], "background": ROWS})
    assert answer.status == 200
    explanations = (await answer.json())["explanations"]
    assert [one["method"] for one in explanations] == ["exact", "exact"]
    for one in explanations:
        weights = [feature["weight"] for feature in one["features"]]
        assert one["base"] + sum(weights) == pytest.approx(one["prediction"], abs=1e-9)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        ([], "expected a JSON object"),
        ({}, "'instances' is missing"),
        ({"instances": {}}, "'instances' is no array"),
        ({"instances": [[1, 1, 1, 1]] * 17}, "16 are the most"),
        ({"instances": [[1, 1, 1, 1]], "rows": []}, "unknown field 'rows'"),
        ({"instances": [[1, 1, 1, 1]]}, "against a background"),
        ({"instances": [[1, 1]], "background": ROWS}, "the model takes rows x 4"),
        ({"instances": [["a"] * 4], "background": ROWS}, "has texts"),
        ({"instances": [[1, 1, 1, 1]], "background": [[1, 2, 3]]}, "the model takes rows x 4"),
        ({"instances": [1], "parameters": {"method": "anchors"}}, "lime, shap, exact"),
        ({"instances": [1], "parameters": {"samples": 10**6}}, "from 2 to 20000"),
        ({"instances": [1], "parameters": {"samples": True}}, "from 2 to 20000"),
        ({"instances": [1], "parameters": {"simples": 3}}, "unknown parameter 'simples'"),
        ({"instances": [1], "parameters": {"eachWord": 1}}, "expected true or false"),
        ({"instances": [1], "parameters": [1]}, "no object"),
    ],
)
async def test_a_bad_request_is_told(client: TestClient[Any, Any], document: Any, sentence: str) -> None:
    answer = await post(client, document)
    assert answer.status == 400
    assert sentence in (await answer.json())["error"]


async def test_another_model_path_or_method_is_told_as_json(client: TestClient[Any, Any]) -> None:
    answer = await post(client, {"instances": [1]}, "spam")
    assert (answer.status, (await answer.json())["error"]) == (404, "the model here is 'mlp'")
    assert (await client.get("/v1/models/mlp:explain")).status == 405
    assert (await client.post("/v1/models/mlp:predict")).status == 404
    assert "error" in await (await client.post("/v1/models/mlp:predict")).json()


async def test_a_body_that_is_too_large_is_refused(client: TestClient[Any, Any]) -> None:
    answer = await client.post("/v1/models/mlp:explain", data=io.BytesIO(b" " * (9 * 2**20)))
    assert answer.status == 413


async def test_a_model_that_is_not_there_is_503_with_a_time_to_come_back() -> None:
    async with client_of("http://127.0.0.1:1/v2/models/mlp") as client:
        answer = await post(client, {"instances": [[1, 1, 1, 1]], "background": ROWS})
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert (await client.get("/v2/health/ready")).status == 200


@pytest.mark.parametrize(("status", "told"), [(401, 401), (403, 403), (500, 502)])
async def test_what_the_model_says_of_the_asker_is_told_on(status: int, told: int) -> None:
    with playing(lambda _: (status, {}, {"error": "no key"})) as played:
        async with client_of(played.url) as client:
            answer = await post(client, {"instances": [1.5], "background": [0.5]}, "m")
            assert answer.status == told
            assert "no key" in (await answer.json())["error"]


async def test_the_model_is_asked_with_the_askers_keys_alone() -> None:
    with playing() as played:
        async with client_of(played.url) as client:
            headers = {"X-Api-Key": "k", "Authorization": "Bearer t", "Cookie": "c", "X-Request-Id": "r"}
            answer = await client.post(
                "/v1/models/m:explain",
                data=json.dumps({"instances": [1.5], "background": [0.5]}),
                headers=headers,
            )
    assert answer.status == 200
    assert played.headers
    for sent in played.headers:
        assert (sent["X-Api-Key"], sent["Authorization"], sent["X-Request-Id"]) == ("k", "Bearer t", "r")
        assert "Cookie" not in sent


async def test_a_third_explanation_at_the_same_time_is_told_to_wait() -> None:
    gate, asked = threading.Event(), threading.Semaphore(0)

    def reply(request: dict[str, Any]) -> Any:
        asked.release()
        gate.wait(60)
        return doubled(request)

    with playing(reply) as played:
        async with client_of(played.url) as client:
            document = {"instances": [1.5], "background": [0.5]}
            running = [asyncio.create_task(post(client, document, "m")) for _ in range(2)]
            for _ in range(2):
                assert await asyncio.to_thread(asked.acquire, True, 60)
            third = await post(client, document, "m")
            assert (third.status, third.headers["Retry-After"]) == (429, "1")
            assert (await client.get("/v2/health/live")).status == 200
            gate.set()
            assert [answer.status for answer in await asyncio.gather(*running)] == [200, 200]


async def test_too_much_work_is_refused_before_it_is_done(server: ServerThread) -> None:
    async with client_of(f"http://127.0.0.1:{server.port}/v2/models/any") as client:
        row = list(range(15))
        answer = await post(client, {"instances": [row], "background": [[-1] * 15] * 100}, "any")
        assert answer.status == 400
        assert "more than 200000 rows" in (await answer.json())["error"]
        huge = {"instances": [[1] * 10_000], "background": [[0] * 10_000], "parameters": {"method": "lime"}}
        answer = await post(client, huge, "any")
        assert "use 400 samples at most" in (await answer.json())["error"]
