"""A chat model behind the real server, asked by unmodified clients: together, leaving, beyond its places."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import openai
import pytest
from tests.support.tiny_chat import PAIRS, make_tiny_chat
from tests.unit.runtime.server_process import ServerProcess, server_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_SECONDS = 120
# So long that it does not end by itself before it is given up.
ENDLESS: dict[str, Any] = {"max_tokens": 900, "extra_body": {"ignore_eos": True}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_chat(tmp_path_factory.mktemp("generative") / "tiny")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[ServerProcess]:
    flags = ("--intra-op-threads", "1", "--max-sequences", "4", "--max-queued-prompt-tokens", "600")
    with server_process("--model", f"chat={folder}", *flags) as server:
        server.wait_for("ready")
        yield server


def connect(server: ServerProcess) -> openai.OpenAI:
    url = f"http://127.0.0.1:{server.http_port}/v1"
    return openai.OpenAI(base_url=url, api_key="k", max_retries=0, timeout=PATIENCE_SECONDS)


def ask(client: openai.OpenAI, question: str, **fields: Any) -> Any:
    messages: list[Any] = [{"role": "user", "content": question}]
    return client.chat.completions.create(model="chat", messages=messages, temperature=0, **fields)


def metrics(server: ServerProcess) -> dict[str, float]:
    """The sums of all series that begin with `vllm:`, by name."""
    url = f"http://127.0.0.1:{server.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
        lines = answer.read().decode().splitlines()
    seen: dict[str, float] = {}
    for name, _, value in (line.rpartition(" ") for line in lines if line.startswith("vllm:")):
        bare = name.partition("{")[0]
        seen[bare] = seen.get(bare, 0) + float(value)
    return seen


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def is_idle(server: ServerProcess) -> bool:
    seen = metrics(server)
    return seen["vllm:num_requests_running"] == seen["vllm:num_requests_waiting"] == 0


def test_many_clients_at_once_each_hear_their_own_answer(served: ServerProcess) -> None:
    def whole(question: str) -> str:
        answer = ask(client, question)
        assert answer.choices[0].finish_reason == "stop"
        return str(answer.choices[0].message.content)

    def streamed(question: str) -> str:
        return "".join(chunk.choices[0].delta.content or "" for chunk in ask(client, question, stream=True))

    with connect(served) as client, ThreadPoolExecutor(20) as clients:
        asked = [(kind, question) for question, _ in PAIRS for kind in (whole, streamed)]
        answers = list(clients.map(lambda one: one[0](one[1]), asked))
    assert answers == [answer for _, answer in PAIRS for _ in range(2)]
    wait_until(lambda: is_idle(served))


@pytest.mark.parametrize("streamed", [False, True])
def test_who_leaves_gives_up_the_row(served: ServerProcess, streamed: bool) -> None:
    before = metrics(served)["vllm:generation_tokens_total"]
    body = json.dumps(
        {
            "model": "chat", "messages": [{"role": "user", "content": "Say hello."}], "stream": streamed,
            "max_tokens": 900, "ignore_eos": True, "n": 4,
        }
    ).encode()  # fmt: skip
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", served.http_port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(head + body)
        wait_until(lambda: metrics(served)["vllm:generation_tokens_total"] > before)
    wait_until(lambda: is_idle(served))
    with connect(served) as client:  # the rows serve on
        assert ask(client, "Name three colours.").choices[0].message.content == "Red, green and blue."


def test_beyond_the_queue_clients_are_told_when_to_come_back(served: ServerProcess) -> None:
    waits: list[int] = []

    def ask_long(_number: int) -> int:
        try:
            ask(client, "Count to ten. " * 60, max_tokens=200, extra_body={"ignore_eos": True})
        except openai.RateLimitError as refused:
            waits.append(int(refused.response.headers["retry-after"]))
            return 429
        return 200

    statuses: list[int] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    with connect(served) as client, ThreadPoolExecutor(24) as clients:
        while 429 not in statuses:  # on a slow machine they may come one by one
            assert time.monotonic() < deadline, "nobody was refused"
            statuses += clients.map(ask_long, range(24))
    assert set(statuses) == {200, 429}
    assert min(waits) >= 1
    wait_until(lambda: is_idle(served))


def test_a_server_that_leaves_ends_its_streams_in_order(folder: Path) -> None:
    flags = ("--drain-delay-seconds", "0", "--drain-timeout-seconds", "0.1", "--max-sequences", "1")
    with server_process("--model", f"chat={folder}", "--intra-op-threads", "1", *flags) as server:
        server.wait_for("ready")
        with connect(server) as client:
            # Together they take many seconds on any machine.
            streams = [ask(client, "Say hello.", stream=True, n=8, **ENDLESS) for _ in range(12)]
            with ThreadPoolExecutor(1) as waiting:
                whole = waiting.submit(_ask_whole, client)
                wait_until(lambda: _asked(server) > 8 * len(streams))
                server.process.send_signal(signal.SIGTERM)
                ends = [_end_of(stream) for stream in streams]
                assert whole.result(PATIENCE_SECONDS) == 503
        assert set(ends) <= {"length", "the server is leaving before the answer's end; ask again"}
        assert ends[-1] != "length"
        assert server.process.wait(PATIENCE_SECONDS) == 0


def _asked(server: ServerProcess) -> float:
    """Requests that wait, run or have ended."""
    seen = metrics(server)
    names = ("num_requests_waiting", "num_requests_running", "request_success_total")
    return sum(seen[f"vllm:{name}"] for name in names)


def _ask_whole(client: openai.OpenAI) -> int:
    """The status of a question that is not streamed."""
    try:
        ask(client, "Say hello.", **ENDLESS)
    except openai.InternalServerError as error:
        return error.status_code
    return 200


def _end_of(stream: Any) -> str:
    """The last reason of a stream, or the sentence of its error."""
    finish = ""
    try:
        for chunk in stream:
            finish = chunk.choices[0].finish_reason or finish
    except openai.APIError as error:
        return error.message
    return finish
