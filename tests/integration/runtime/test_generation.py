"""Generated text from a real server process: how streams meet its end."""

import http.client
import json
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.support.tiny_chat import PAIRS, make_tiny_chat
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
