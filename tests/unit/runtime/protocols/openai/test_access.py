"""Keys, the access log and the audit log of texts: as for every other protocol."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from tests.unit.runtime.certificates import Authority, client_context, write_server
from tests.unit.runtime.protocols.openai.conftest import PATIENCE_SECONDS
from tests.unit.runtime.protocols.openai.played_model import PlayedLane, make_model
from tests.unit.runtime.server_thread import ServerThread
from tests.unit.runtime.transport.http2.raw_client import DATA, RawClient, frame
from tests.unit.runtime.transport.rest.requests import HELLO as HELLO_HTTP_2
from tests.unit.runtime.transport.rest.requests import head

from modelservice_runtime.auth.api_keys import api_key_line
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


def test_log_and_traces_know_model_and_tokens_and_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Exchange] = []
    model = make_model()
    monkeypatch.setattr(
        "tests.unit.runtime.server_thread.build_application",
        lambda *arguments: ObservedApplication(build_application(*arguments), seen.append),
    )
    publish = lambda one: one.table.publish_generative(model)  # noqa: E731
    with ServerThread({}, publish=publish) as server, connect(server, "k") as client:
        client.chat.completions.create(model="chat", messages=HELLO)
        list(client.completions.create(model="chat", prompt="hello", stream=True))
        client.responses.create(model="chat", input="hello")
        list(client.responses.create(model="chat", input="hello", stream=True))
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="other", messages=HELLO)
    whole, streamed, *responses, refused = seen
    assert (whole.route, whole.model, whole.status) == ("/v1/chat/completions", "chat", 200)
    fields = access_fields(streamed)
    assert (fields["route"], fields["model"], fields["status"]) == ("/v1/completions", "chat", 200)
    assert (fields["prompt_tokens"], fields["completion_tokens"]) == (6, 5)
    assert streamed.response_bytes > 100
    assert span_attributes(whole) | {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "chat",
        "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 5,
    } == span_attributes(whole)  # fmt: skip
    for response in responses:
        assert (response.route, response.model, response.status) == ("/v1/responses", "chat", 200)
        told = span_attributes(response)
        assert {name: told[name] for name in told if name.startswith("gen_ai.")} == {
            name: value for name, value in span_attributes(whole).items() if name.startswith("gen_ai.")
        }
    assert (refused.status, refused.model) == (404, None)
    assert "hello" not in repr(seen)


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
    seen: list[Exchange] = []
    model = make_model()
    monkeypatch.setattr(
        "tests.unit.runtime.server_thread.build_application",
        lambda *arguments: ObservedApplication(build_application(*arguments), seen.append),
    )
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
