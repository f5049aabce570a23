"""Keys, the access log and the audit log of texts: as for every other protocol."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from tests.unit.runtime.certificates import Authority, client_context, write_server
from tests.unit.runtime.protocols.openai.conftest import PATIENCE_SECONDS
from tests.unit.runtime.protocols.openai.played_model import PlayedLane, make_model
from tests.unit.runtime.server_thread import ServerThread

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
    assert isinstance(model.lane, PlayedLane)
    assert [begun.request.owner for begun in model.lane.begun] == ["key eva", "key tom"]


def test_streams_go_over_tls_and_a_certificate_names_the_owner(tmp_path: Path) -> None:
    authority, model = Authority(), make_model()
    tls = write_server(tmp_path, authority.issue("server"), client_ca=authority)
    context = client_context(authority)
    context.load_cert_chain(*authority.issue("eva").write(tmp_path, "client"))
    security = SecuritySettings(tls=tls)
    with ServerThread(
        {}, security=security, publish=lambda one: one.table.publish_generative(model)
    ) as server:
        url = f"https://127.0.0.1:{server.port}/v1"
        web = openai.DefaultHttpxClient(verify=context, timeout=PATIENCE_SECONDS)
        with openai.OpenAI(base_url=url, api_key="k", max_retries=0, http_client=web) as client:
            chunks = list(client.chat.completions.create(model="chat", messages=HELLO, stream=True))
            whole = client.chat.completions.create(model="chat", messages=HELLO)  # on the same connection
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hello"
    assert whole.choices[0].message.content == "hello"
    assert isinstance(model.lane, PlayedLane)
    assert [begun.request.owner for begun in model.lane.begun] == ["CN=eva", "CN=eva"]


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
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="other", messages=HELLO)
    whole, streamed, refused = seen
    assert (whole.route, whole.model, whole.status) == ("/v1/chat/completions", "chat", 200)
    fields = access_fields(streamed)
    assert (fields["route"], fields["model"], fields["status"]) == ("/v1/completions", "chat", 200)
    assert (fields["prompt_tokens"], fields["completion_tokens"]) == (6, 5)
    assert streamed.response_bytes > 100
    assert span_attributes(whole) | {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "chat",
        "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 5,
    } == span_attributes(whole)  # fmt: skip
    assert (refused.status, refused.model) == (404, None)
    assert "hello" not in repr(seen)
