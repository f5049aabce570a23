"""Generated text from a real server process: how streams meet its end."""

import http.client
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import openai
import pytest
from tests.support.tiny_chat import PAIRS, make_tiny_chat, write_adapter
from tests.unit.runtime.server_process import run_to_the_end, server_process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_chat(tmp_path_factory.mktemp("generative") / "tiny")


@contextmanager
def _asked(port: int, path: str, body: dict[str, object]) -> Iterator[http.client.HTTPResponse]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200
        yield answer


def _events(answer: http.client.HTTPResponse) -> Iterator[str]:
    for line in answer:
        if line.startswith(b"data: "):
            yield line[6:].decode().strip()


def test_a_folder_is_served_to_the_end_of_its_streams(folder: Path) -> None:
    limits = ("--max-sequences", "2", "--drain-delay-seconds", "0", "--drain-timeout-seconds", "120")
    with server_process("--model", f"chat={folder}", *limits) as server:
        ready = server.wait_for("model ready")
        assert (ready["max_sequences"], ready["max_context_tokens"]) == (2, 1024)
        server.wait_for("ready")
        for question, wanted in PAIRS[:2]:
            conversation = [{"role": "user", "content": question}]
            body = {"model": "chat", "messages": conversation, "temperature": 0}
            with _asked(server.http_port, "/v1/chat/completions", body) as answer:
                content = json.loads(answer.read())["choices"][0]["message"]["content"]
            assert content == wanted
            with _client(server.http_port) as client:
                response = client.responses.create(model="chat", input=question, temperature=0)
                events = list(
                    client.responses.create(model="chat", input=question, temperature=0, stream=True)
                )
            assert (response.status, response.output_text) == ("completed", wanted)
            assert events[-1].type == "response.completed"
            assert events[-1].response.output_text == wanted

        body = {"model": "chat", "prompt": "A", "max_tokens": 1000, "ignore_eos": True, "stream": True}
        with _asked(server.http_port, "/v1/completions", body) as answer:
            events = _events(answer)
            next(events)
            server.process.send_signal(signal.SIGTERM)
            rest = list(events)

        assert rest[-1] == "[DONE]"
        assert json.loads(rest[-2])["choices"][0]["finish_reason"] == "length"
        assert server.process.wait(120) == 0


def test_workers_and_texts_exclude_each_other(folder: Path) -> None:
    code, text = run_to_the_end("--model", f"chat={folder}", "--workers", "2")

    assert code == 1
    assert text.splitlines()[-1].startswith("InvalidSettings: ")
    assert "--workers 2" in text


def test_adapters_are_models_of_their_own_to_clients(tmp_path: Path) -> None:
    folder = make_tiny_chat(tmp_path / "model", adapted=True)
    flags = [
        part
        for seed, name in enumerate(("law", "poet"))
        for part in ("--adapter", f"chat:{name}={write_adapter(tmp_path / f'{name}.bin', folder, seed)}")
    ]
    with server_process("--model", f"chat={folder}", *flags, "--max-sequences", "4") as server:
        assert server.wait_for("model ready")["adapters"] == ["law", "poet"]
        server.wait_for("ready")
        with _client(server.http_port) as client:
            parents = {one.id: one.parent for one in client.models.list()}  # type: ignore[attr-defined]
            assert parents == {"chat": None, "law": "chat", "poet": "chat"}
            alone = {name: _chat(client, name) for name in parents}
            with ThreadPoolExecutor(6) as threads:
                together = list(threads.map(partial(_chat, client), [*parents, *parents]))
        with closing(http.client.HTTPConnection("127.0.0.1", server.metrics_port, timeout=120)) as scraped:
            scraped.request("GET", "/metrics")
            metrics = scraped.getresponse().read().decode()

    assert alone["chat"] == PAIRS[0][1]
    assert len(set(alone.values())) == 3
    assert together == [*alone.values(), *alone.values()]
    assert 'max_lora="2",model_name="chat",running_lora_adapters="",waiting_lora_adapters=""' in metrics


def _client(port: int) -> openai.OpenAI:
    address = f"http://127.0.0.1:{port}/v1"
    return openai.OpenAI(base_url=address, api_key="none", max_retries=0, timeout=120)


def _chat(client: openai.OpenAI, model: str) -> str:
    """What a model says to the first question, as a stream."""
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": PAIRS[0][0]}],
        temperature=0,
        max_tokens=40,
        stream=True,
    )
    chunks = list(stream)
    assert {chunk.model for chunk in chunks} == {model}
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
