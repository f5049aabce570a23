"""Other unmodified clients of OpenAI's API: the package `openai` of npm, and LangChain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.runtime.protocols.openai.played_model import make_model
from tests.unit.runtime.protocols.openai.test_vectors import save_encoder
from tests.unit.runtime.server_thread import ServerThread

if TYPE_CHECKING:
    from collections.abc import Iterator

UV = Path(sys.executable).with_name("uv")
NODE = """
import OpenAI from "openai";
const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "k", maxRetries: 0 });
const messages = [{ role: "user", content: "Grüße, 世界 👋" }];
const whole = await client.chat.completions.create({ model: "chat", messages });
let streamed = "", usage = null;
const stream = await client.chat.completions.create({
  model: "chat", messages, stream: true, stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
const tools = [{ type: "function", function: { name: "f", parameters: { type: "object" } } }];
const call = await client.chat.completions
  .stream({ model: "chat", messages: [{ role: "user", content: '<f{"a": 1}>' }], tools })
  .finalChatCompletion();
const vectors = await client.embeddings.create({ model: "encoder", input: ["cat", "dog"] });
let missing = null;
try { await client.chat.completions.create({ model: "none", messages }); }
catch (error) { missing = [error.status, error.code, error.constructor.name]; }
const models = [];
for await (const model of client.models.list()) models.push(model.id);
console.log(JSON.stringify({
  whole: whole.choices[0].message.content, streamed, tokens: usage.completion_tokens,
  call: call.choices[0].message.tool_calls[0].function, vector: vectors.data[1].embedding, missing, models,
}));
"""
LANGCHAIN = """
import json, os
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

url, key = os.environ["BASE_URL"], "k"
chat = ChatOpenAI(base_url=url, api_key=key, model="chat", max_retries=0)
text = "Grüße, 世界 👋"

@tool
def f(a: int) -> int:
    "Adds nothing."
    return a

vectors = OpenAIEmbeddings(
    base_url=url, api_key=key, model="encoder", check_embedding_ctx_length=False, max_retries=0
)
completion = OpenAI(base_url=url, api_key=key, model="chat", max_retries=0, max_tokens=20)
print(json.dumps({
    "whole": chat.invoke(text).content,
    "streamed": "".join(chunk.content for chunk in chat.stream(text)),
    "tokens": chat.invoke(text).usage_metadata["output_tokens"],
    "call": chat.bind_tools([f]).invoke('<f{"a": 1}>').tool_calls[0]["args"],
    "completion": completion.invoke(text),
    "vector": vectors.embed_documents(["cat", "dog"])[1],
}))
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = make_model()
    files = {"encoder": save_encoder(tmp_path_factory.mktemp("vectors") / "encoder.onnx")}
    with ServerThread(files, publish=lambda server: server.table.publish_generative(model)) as server:
        yield f"http://127.0.0.1:{server.port}/v1"


def run(command: list[Any], url: str, folder: Path) -> Any:
    variables = os.environ | {"BASE_URL": url}
    answer = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=300
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.timeout(600)
def test_the_package_of_npm(url: str, tmp_path: Path) -> None:
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "openai@>=5"]
    subprocess.run(install, cwd=tmp_path, check=True, timeout=300)
    (tmp_path / "client.mjs").write_text(NODE, encoding="utf-8")
    told = run(["node", "client.mjs"], url, tmp_path)
    assert told["whole"] == told["streamed"] == "Grüße, 世界 👋"
    assert told["tokens"] == 11
    assert told["call"]["name"] == "f"
    assert json.loads(told["call"]["arguments"]) == {"a": 1}
    assert told["vector"] == [0, 1.25, 0]
    assert told["missing"] == [404, "model_not_found", "NotFoundError"]
    assert told["models"] == ["chat", "encoder"]


@pytest.mark.timeout(600)
def test_langchain(url: str, tmp_path: Path) -> None:
    subprocess.run([UV, "venv", "-q", "--python", sys.executable, tmp_path / "env"], check=True)
    install = [UV, "pip", "install", "-q", "--python", tmp_path / "env", "langchain-openai>=1"]
    subprocess.run(install, check=True, timeout=300)
    told = run([tmp_path / "env/bin/python", "-c", LANGCHAIN], url, tmp_path)
    assert told["whole"] == told["streamed"] == told["completion"] == "Grüße, 世界 👋"
    assert told["tokens"] == 11
    assert told["call"] == {"a": 1}
    assert told["vector"] == [0, 1.25, 0]
