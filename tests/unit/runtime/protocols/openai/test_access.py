"""Keys, the access log and the audit log of texts: as for every other protocol."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from tests.unit.runtime.certificates import Authority, client_context, write_server
from tests.unit.runtime.protocols.openai.conftest import PATIENCE_SECONDS
from tests.unit.runtime.protocols.openai.played_model import (
    PlayedGeneration,
    PlayedLane,
    Script,
    echo,
    make_model,
)
from tests.unit.runtime.protocols.openai.test_vectors_of_tokens import MEAN, save_cross, save_states
from tests.unit.runtime.server_thread import ServerThread
from tests.unit.runtime.transport.http2.raw_client import DATA, RawClient, frame
from tests.unit.runtime.transport.rest.requests import HELLO as HELLO_HTTP_2
from tests.unit.runtime.transport.rest.requests import head

from modelservice_runtime.auth.api_keys import api_key_line
from modelservice_runtime.errors import InferenceFailedError, InvalidRequestError
from modelservice_runtime.generation.values import Finish, TokenEvent
from modelservice_runtime.observe.access_log import access_fields
from modelservice_runtime.observe.http import ObservedApplication
from modelservice_runtime.observe.tracing import span_attributes
from modelservice_runtime.protocols.application import build_application
from modelservice_runtime.settings.security import SecuritySettings

if TYPE_CHECKING:
    from modelservice_runtime.observe.exchange import Exchange

HELLO: list[Any] = [{"role": "user", "content": "hello"}]


def connect(server: ServerThread, key: str) -> openai.OpenAI:
    url = f"http://127.0.0.1:{server.port}/v1"
    return openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=PATIENCE_SECONDS)


def test_a_key_is_asked_for_and_names_the_owner(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("".join(api_key_line(name, f"secret-{name}") + "\n" for name in ("eva", "tom")))
    model = make_model()
    security = SecuritySettings(api_key_file=file)
    with ServerThread(
        {}, security=security, publish=lambda one: one.table.publish_generative(model)
    ) as server:
        for name in ("eva", "tom"):
            with connect(server, f"secret-{name}") as client:
                client.chat.completions.create(model="chat", messages=HELLO)
        for content in ("hello", "x" * 70_000):  # one is refused behind its body, one before it
            with connect(server, "wrong") as client, pytest.raises(openai.AuthenticationError) as refused:
                client.chat.completions.create(model="chat", messages=[{"role": "user", "content": content}])
            assert refused.value.code == "invalid_api_key"
            assert (refused.value.request_id or "").startswith("req_")
    assert isinstance(model.lane, PlayedLane)
    assert [begun.request.owner for begun in model.lane.begun] == ["key eva", "key tom"]


@pytest.mark.parametrize("http2", [False, True])
def test_streams_go_over_tls_and_a_certificate_names_the_owner(tmp_path: Path, http2: bool) -> None:
    authority, model = Authority(), make_model()
    tls = write_server(tmp_path, authority.issue("server"), client_ca=authority)
    context = client_context(authority)
    context.load_cert_chain(*authority.issue("eva").write(tmp_path, "client"))
    security = SecuritySettings(tls=tls)
    with ServerThread(
        {}, security=security, publish=lambda one: one.table.publish_generative(model)
    ) as server:
        url = f"https://127.0.0.1:{server.port}/v1"
        web = openai.DefaultHttpxClient(verify=context, timeout=PATIENCE_SECONDS, http2=http2)
        with openai.OpenAI(base_url=url, api_key="k", max_retries=0, http_client=web) as client:
            chunks = list(client.chat.completions.create(model="chat", messages=HELLO, stream=True))
            whole = client.chat.completions.create(model="chat", messages=HELLO)  # on the same connection
            answered = web.get(f"{url}/models", headers={"Authorization": "Bearer k"})
    assert answered.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hello"
    assert whole.choices[0].message.content == "hello"
    assert isinstance(model.lane, PlayedLane)
    assert [begun.request.owner for begun in model.lane.begun] == ["CN=eva", "CN=eva"]


@pytest.mark.parametrize(
    ("length", "sent"),
    [(None, 0), (100_000, 0), (20, 10)],  # it is not waited for, but a small one may come with its head
)
def test_who_may_not_ask_is_refused_before_the_body_over_http_2(
    tmp_path: Path, length: int | None, sent: int
) -> None:
    file = tmp_path / "keys"
    file.write_text(api_key_line("eva", "secret") + "\n")
    with ServerThread({}, security=SecuritySettings(api_key_file=file)) as server:
        client = RawClient(server.connect(), HELLO_HTTP_2)
        size = None if length is None else str(length)
        client.send(head(1, "/v1/chat/completions", ended=False, content_length=size))
        client.send(frame(DATA, 0, 1, bytes(sent)))
        headers, body = client.answer(1)
        assert headers[":status"] == "401"
        assert "www-authenticate" in headers
        assert b"invalid_api_key" in body
        client.send(head(3, "/v2/health/ready", ended=False))
        assert client.answer(3)[0][":status"] == "413"
        client.socket.close()


def watch(monkeypatch: pytest.MonkeyPatch) -> "list[Exchange]":
    """What logs and traces of servers that start from now on are told."""
    seen: list[Exchange] = []
    monkeypatch.setattr(
        "tests.unit.runtime.server_thread.build_application",
        lambda *arguments: ObservedApplication(build_application(*arguments), seen.append),
    )
    return seen


def test_log_and_traces_know_model_and_tokens_and_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch(monkeypatch)
    model = make_model()
    publish = lambda one: one.table.publish_generative(model)  # noqa: E731
    with ServerThread({}, publish=publish) as server, connect(server, "k") as client:
        answer = client.chat.completions.create(model="chat", messages=HELLO)
        list(client.completions.create(model="chat", prompt="hello", stream=True, n=2, seed=3, top_p=0.5))
        client.responses.create(model="chat", input="hello")
        list(client.responses.create(model="chat", input="hello", stream=True))
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="other", messages=HELLO)
    whole, streamed, *responses, refused = seen
    assert (whole.route, whole.model, whole.status) == ("/v1/chat/completions", "chat", 200)
    fields = access_fields(streamed)
    assert (fields["route"], fields["model"], fields["status"]) == ("/v1/completions", "chat", 200)
    assert (fields["prompt_tokens"], fields["completion_tokens"]) == (6, 10)
    assert streamed.response_bytes > 100
    told = {
        "operation.name": "chat", "provider.name": "modelservice", "request.model": "chat",
        "response.model": "chat", "response.id": answer.id, "response.finish_reasons": ("stop",),
        "usage.input_tokens": 5, "usage.output_tokens": 5, "usage.cache_read.input_tokens": 2,
    }  # fmt: skip
    assert gen_ai(whole) == told
    asked = {"request.choice.count": 2, "request.seed": 3, "request.top_p": 0.5}
    assert gen_ai(streamed).items() >= {**asked, "response.finish_reasons": ("stop", "stop")}.items()
    for response in responses:
        assert (response.route, response.model, response.status) == ("/v1/responses", "chat", 200)
        assert gen_ai(response) == {**told, "response.id": gen_ai(response)["response.id"]}
    assert (refused.status, refused.model) == (404, None)
    assert "hello" not in repr(seen)


def gen_ai(exchange: "Exchange") -> dict[str, Any]:
    """What a span tells by the conventions for generative AI."""
    told = span_attributes(exchange).items()
    return {name.removeprefix("gen_ai."): value for name, value in told if name.startswith("gen_ai.")}


ENDS_EARLY = {
    "the client's deadline": ({"X-Request-Timeout": "1.0"}, None, (504, 504)),
    "a fault": ({}, InferenceFailedError("the model failed"), (500, 500)),
    "a form that became too much": ({}, InvalidRequestError("the text cannot be kept in form"), (400, None)),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("cause", ENDS_EARLY)
def test_texts_that_end_early_are_told_with_their_tokens(
    monkeypatch: pytest.MonkeyPatch, cause: str, streamed: bool
) -> None:
    headers, error, (status, error_type) = ENDS_EARLY[cause]

    def say(generation: PlayedGeneration) -> None:
        generation.say("abc")
        if error is not None:
            generation.sink(TokenEvent("", error=error, usage=generation.usage))

    (one,) = observe_texts(monkeypatch, say, lambda client: ask_in_vain(client, streamed, headers))
    assert one.status == (200 if streamed else status)
    assert (access_fields(one)["prompt_tokens"], access_fields(one)["completion_tokens"]) == (5, 3)
    assert span_attributes(one).get("error.type") == (None if error_type is None else str(error_type))
    assert one.failed is (error_type is not None)
    assert "response.finish_reasons" not in gen_ai(one)


def test_texts_of_clients_that_leave_are_told_with_their_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(client: openai.OpenAI) -> None:
        with client.chat.completions.create(model="chat", messages=HELLO, stream=True, n=2) as stream:
            next(iter(stream))

    begun: list[PlayedGeneration] = []

    def say(generation: PlayedGeneration) -> None:
        begun.append(generation)
        generation.say("abc")
        if len(begun) == 2:  # this one has come to its end
            generation.say("", Finish.LENGTH)

    (one,) = observe_texts(monkeypatch, say, leave)
    assert (one.status, one.failed) == (499, False)
    assert (access_fields(one)["prompt_tokens"], access_fields(one)["completion_tokens"]) == (5, 6)


def test_tokens_of_vectors_and_rankings_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = watch(monkeypatch)
    saved = {
        "mean": save_states(tmp_path / "mean", {"1_Pooling/config.json": MEAN}),
        "cross": save_cross(tmp_path / "cross", {}),
    }
    with ServerThread(saved) as server:
        body = {"model": "mean", "input": ["cat dog", "bird"]}
        usages = [server.request("POST", "/v1/embeddings", body).json()["usage"]["total_tokens"]]
        for model in saved:
            asked = {"model": model, "query": "cat", "documents": ["dog", "bird cat"]}
            usages.append(server.request("POST", "/v1/rerank", asked).json()["usage"]["total_tokens"])
    assert [access_fields(one)["prompt_tokens"] for one in seen] == usages
    assert usages[0] == 4 + 3
    assert {gen_ai(one)["provider.name"] for one in seen} == {"modelservice"}


def test_requests_that_were_not_begun_tell_no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(client: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(
                model="chat", messages=HELLO, extra_body={"chat_template_kwargs": {"fail": True}}
            )

    (one,) = observe_texts(monkeypatch, echo, refused)
    assert (one.status, access_fields(one).keys() & {"prompt_tokens", "completion_tokens"}) == (400, set())


def ask_in_vain(client: openai.OpenAI, streamed: bool, headers: dict[str, str]) -> None:
    with pytest.raises(openai.APIError):
        list(
            client.chat.completions.create(
                model="chat", messages=HELLO, stream=streamed, extra_headers=headers
            )
        )


def observe_texts(
    monkeypatch: pytest.MonkeyPatch, script: Script, ask: Callable[[openai.OpenAI], None]
) -> list["Exchange"]:
    """What logs and traces are told of what is asked, when the server has ended."""
    seen = watch(monkeypatch)
    model = make_model()
    assert isinstance(model.lane, PlayedLane)
    model.lane.script = script
    publish = lambda one: one.table.publish_generative(model)  # noqa: E731
    with ServerThread({}, publish=publish) as server, connect(server, "k") as client:
        ask(client)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not seen and time.monotonic() < deadline:
            time.sleep(0.01)
    return seen


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"X-Request-Id": "b7ad:6b71"}, "b7ad:6b71"),
        ({"X-Client-Request-Id": "mine"}, "mine"),
        ({"X-Request-Id": "two words", "X-Client-Request-Id": "mine"}, "mine"),
        ({"X-Request-Id": "x" * 129}, None),
        ({"X-Request-Id": '"><script>'}, None),
        ({}, None),
    ],
)
def test_answers_and_logs_tell_one_name_of_a_request(
    monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], told: str | None
) -> None:
    seen = watch(monkeypatch)
    model = make_model()
    publish = lambda one: one.table.publish_generative(model)  # noqa: E731
    with ServerThread({}, publish=publish) as server, connect(server, "k") as plain:
        client = plain.with_options(default_headers=headers)
        whole = client.chat.completions.create(model="chat", messages=HELLO)
        streamed = client.completions.create(model="chat", prompt="hello", stream=True)
        list(streamed)
        found = [whole._request_id, streamed.response.headers["x-request-id"]]
        for path in ("chat/completions", "nothing"):
            with pytest.raises(openai.APIStatusError) as refused:
                client.get(path, cast_to=object)
            assert isinstance(refused.value.body, dict)  # OpenAI's form
            found.append(refused.value.request_id)
        with pytest.raises(openai.BadRequestError) as wrong:
            client.chat.completions.create(model="chat", messages=[])
        found.append(wrong.value.request_id)
    assert [access_fields(one)["request_id"] for one in seen] == found
    assert [span_attributes(one)["modelservice.request_id"] for one in seen] == found
    if told is None:
        assert len(set(found)) == 5
        assert all(name.startswith("req_") for name in found)
    else:
        assert found == [told] * 5
