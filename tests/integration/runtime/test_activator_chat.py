"""Texts that a sleeping service generates: their streams pass through the activator as they come."""

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.activator import Rig, eventually, running_rig
from tests.support.tiny_chat import PAIRS, Shape, make_tiny_chat
from tests.unit.runtime.server_process import ServerProcess, server_process

ENDLESS = 60_000
"""Tokens that take the tiny model minutes."""
WAIT_SECONDS = 120


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = make_tiny_chat(tmp_path_factory.mktemp("chat") / "tiny", shape=Shape(context=ENDLESS + 1000))
    limits = ("--max-context-tokens", str(ENDLESS + 1000), "--max-sequences", "2")
    with server_process("--model", f"chat={folder}", *limits) as server:
        server.wait_for("ready")
        yield server


@pytest.fixture
async def rig(pod: ServerProcess) -> AsyncIterator[Rig]:
    """The pod is ready when the service is woken."""
    async with running_rig() as running:
        running.api.on_wake = lambda: running.give_pods(["127.0.0.1"], http=pod.http_port, grpc=pod.grpc_port)
        yield running


def metric(pod: ServerProcess, sample: str, **labels: str) -> float:
    """What the pod's page of metrics says."""
    with urllib.request.urlopen(f"http://127.0.0.1:{pod.metrics_port}/metrics", timeout=WAIT_SECONDS) as page:
        families = list(text_string_to_metric_families(page.read().decode()))
    return sum(
        one.value
        for family in families
        for one in family.samples
        if one.name == sample and labels.items() <= one.labels.items()
    )


async def test_question_that_wakes_a_service_is_answered_as_a_stream(rig: Rig) -> None:
    async with openai.AsyncOpenAI(base_url=f"{rig.http}/v1", api_key="none", max_retries=0) as client:

        async def ask(question: str) -> str:
            stream = await client.chat.completions.create(
                model="chat",
                messages=[{"role": "user", "content": question}],
                temperature=0,
                stream=True,
                timeout=WAIT_SECONDS,
            )
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            assert sum(map(bool, pieces)) > 1
            return "".join(pieces)

        answers = await asyncio.gather(*(ask(question) for question, _ in PAIRS))
    assert answers == [answer for _, answer in PAIRS]
    assert len(rig.api.writes) == 1


@contextlib.asynccontextmanager
async def endless_stream(rig: Rig) -> AsyncIterator[asyncio.StreamReader]:
    """What the server sends of a text that takes minutes, as it comes; then its client leaves."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports["http"])
    body = json.dumps(
        {
            "model": "chat",
            "prompt": "A",
            "max_tokens": ENDLESS,
            "ignore_eos": True,
            "stream": True,
        }
    )
    writer.write(
        f"POST /v1/completions HTTP/1.1\r\nHost: chat\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: application/json\r\n\r\n{body}".encode()
    )
    try:
        yield reader
    finally:
        writer.transport.abort()


async def test_piece_comes_when_it_was_made_and_a_client_that_leaves_ends_the_text(
    rig: Rig, pod: ServerProcess
) -> None:
    async with endless_stream(rig) as stream, asyncio.timeout(WAIT_SECONDS):
        head = await stream.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        await stream.readuntil(b"data: {")
        # Who waited for the whole text would have it after minutes.
        assert metric(pod, "vllm:num_requests_running") == 1

    await eventually(
        lambda: metric(pod, "vllm:request_success_total", finished_reason="abort") == 1, "the text ended"
    )
    assert metric(pod, "vllm:num_requests_running") == 0
    await eventually(lambda: rig.holder.room.requests == 0, "nothing is held")
