"""A real server whose text model is played, and unmodified clients of it."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.unit.runtime.protocols.openai.played_model import PlayedLane, PlayedText, make_model
from tests.unit.runtime.server_thread import ServerThread

from modelservice_runtime.generation.values import GenerativeModel

PATIENCE_SECONDS = 120


class Played:
    """The server, and what plays behind it."""

    def __init__(self, server: ServerThread, model: GenerativeModel) -> None:
        self.server = server
        self.model = model
        assert isinstance(model.lane, PlayedLane)
        assert isinstance(model.text, PlayedText)
        self.lane, self.text = model.lane, model.text
        self.url = f"http://127.0.0.1:{server.port}"

    def call(self, work: Callable[[], Any]) -> Any:
        """Do something on the loop's thread."""

        async def run() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self.server.loop).result(PATIENCE_SECONDS)

    def client(self, prefix: str = "/v1") -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url + prefix, api_key="k", max_retries=0, timeout=PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def running(model_files: dict[str, Path]) -> Iterator[Played]:
    model = make_model(adapters=("polite",))
    files = {"mlp": model_files["mlp"]}
    with ServerThread(files, publish=lambda server: server.table.publish_generative(model)) as server:
        yield Played(server, model)


@pytest.fixture
def played(running: Played) -> Played:
    """The server with a new model: what an earlier test's threads still do reaches the old one."""
    model = make_model(adapters=("polite",))
    running.call(lambda: running.server.table.publish_generative(model))
    return Played(running.server, model)


@pytest.fixture(scope="module")
def client(running: Played) -> Iterator[openai.OpenAI]:
    with running.client() as opened:
        yield opened
