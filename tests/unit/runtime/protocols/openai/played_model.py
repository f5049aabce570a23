"""A text model and a lane by their contracts, whose texts a test says beforehand or piece by piece."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelservice_runtime.errors import InvalidRequestError, ServingError
from modelservice_runtime.generation.statistics import GenerationStatistics
from modelservice_runtime.generation.values import (
    Finish,
    FormKind,
    GenerationLimits,
    GenerationRequest,
    GenerativeModel,
    Guide,
    Sink,
    TextForm,
    TokenEvent,
    TokenLogprob,
    ToolPiece,
    ToolReader,
    Usage,
)


class PlayedGuide:
    """Allows nothing, for no text is chosen by it; the ones that came of one know it as `root`."""

    def __init__(self, root: "PlayedGuide | None" = None) -> None:
        self.root = root or self
        self.ended = False

    def allowed(self, mask: memoryview) -> None:
        pass

    def accept(self, token: int) -> None:
        pass

    def fork(self) -> "PlayedGuide":
        return PlayedGuide(self.root)


class PlayedText:
    """A token is a character, or the first of `token_length`. A chat's prompt is its last message."""

    def __init__(self) -> None:
        self.rendered: list[tuple[list[dict[str, Any]], Any, Mapping[str, object]]] = []
        self.forms: list[TextForm] = []
        self.decoded = 0
        self.knows_calls = True
        self.token_length = 1
        self.characters_read = 0
        self.read_at = 0.0

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        self.characters_read += len(text)
        self.read_at = time.perf_counter()
        return [*([0] if add_special_tokens else []), *map(ord, text[:: self.token_length])]

    def decode(self, tokens: list[int]) -> str:
        return "".join(map(chr, tokens))

    def token_bytes(self, token: int) -> bytes:
        self.decoded += 1
        return chr(token).encode()

    def render_chat(self, messages: list[dict[str, Any]], tools: Any, variables: Mapping[str, object]) -> str:
        self.rendered.append((messages, tools, variables))
        if variables.get("fail"):
            raise InvalidRequestError("the template refuses this")
        return str(messages[-1]["content"])

    def read_tools(self, *, is_forced: bool) -> ToolReader:
        if not is_forced and not self.knows_calls:
            raise InvalidRequestError("it knows no calls")
        return PlayedTools()

    def guide(self, form: TextForm) -> Guide:
        if form.kind is FormKind.REGEX and form.value == "(":
            raise InvalidRequestError("the pattern is none")
        self.forms.append(form)
        return PlayedGuide()


class PlayedTools:
    """`<f{...}>` calls `f`, its arguments in two pieces."""

    def __init__(self) -> None:
        self._rest = ""
        self.calls = 0

    def feed(self, text: str) -> list[str | ToolPiece]:
        self._rest += text
        told: list[str | ToolPiece] = []
        while "<" in self._rest and ">" in self._rest:
            before, _, call = self._rest.partition("<")
            call, _, self._rest = call.partition(">")
            name, _, arguments = call.partition("{")
            told += [before] if before else []
            told += [ToolPiece(self.calls, name, "{"), ToolPiece(self.calls, None, arguments)]
            self.calls += 1
        if "<" not in self._rest and self._rest:
            told.append(self._rest)
            self._rest = ""
        return told

    def end(self) -> list[str | ToolPiece]:
        rest, self._rest = self._rest, ""
        return [rest] if rest else []


@dataclass(eq=False)
class PlayedGeneration:
    """One that goes on until it is ended or cancelled."""

    request: GenerationRequest
    sink: Sink
    heard: list[str] = field(default_factory=list)
    tokens: int = 0

    @property
    def usage(self) -> Usage:
        return Usage(len(self.request.prompt), self.tokens, cached=2)

    def cancel(self) -> None:
        self.heard.append("cancel")

    def finish(self) -> None:
        self.heard.append("finish")

    def pause(self) -> None:
        self.heard.append("pause")

    def resume(self) -> None:
        self.heard.append("resume")

    @property
    def is_cancelled(self) -> bool:
        return "cancel" in self.heard

    def score(self, tokens: Sequence[int]) -> None:
        """Tell a piece of the prompt: the more probable the higher the token, beside a space."""
        told = [TokenLogprob(token, -100 / token if token else None, ((32, -0.1),)) for token in tokens]
        self.sink(TokenEvent("", logprobs=tuple(told)))

    def say(self, text: str, finish: Finish | None = None, **fields: Any) -> None:
        """Tell a piece of the text, and with `finish` that it was the last."""
        self.tokens += len(text)
        usage = self.usage if finish else None
        logprobs = ()
        if self.request.sampling.logprobs is not None:
            others = tuple((ord(letter), -2.0) for letter in "xy"[: self.request.sampling.logprobs])
            logprobs = tuple(TokenLogprob(ord(letter), -0.5, others) for letter in text)
        self.sink(TokenEvent(text, tuple(map(ord, text)), logprobs, finish, usage, **fields))


Script = Callable[[PlayedGeneration], None]


class PlayedLane:
    """`script` is called for each generation, a turn of the loop after it began; None leaves it alone."""

    def __init__(self, limits: GenerationLimits | None = None) -> None:
        self.limits = limits or GenerationLimits(1000, 500, 4, 2000)
        self.statistics = GenerationStatistics()
        self.kv_usage = 0.25
        self.running = self.waiting = self.tokens_in_flight = 0
        self.adapters_in_use = (frozenset[str](), frozenset[str]())
        self.begun: list[PlayedGeneration] = []
        self.came_at: list[float | None] = []
        self.script: Script | None = echo
        self.refusal: ServingError | None = None
        self.room = 1_000_000

    def submit(
        self, asked: Sequence[tuple[GenerationRequest, Sink]], came_at: float | None = None
    ) -> list[PlayedGeneration]:
        if self.refusal is not None and len(self.begun) + len(asked) > self.room:
            raise self.refusal
        self.came_at.append(came_at)
        generations = [PlayedGeneration(*one) for one in asked]
        self.begun += generations
        for generation in generations if self.script is not None else ():
            asyncio.get_running_loop().call_soon(self.script, generation)
        return generations


def echo(generation: PlayedGeneration) -> None:
    """Say the prompt again, in two pieces."""
    text = "".join(map(chr, generation.request.prompt)).replace("\0", "")
    generation.say(text[:2])
    generation.say("")
    generation.say(text[2:])
    generation.say("", Finish.STOP)


def make_model(name: str = "chat", adapters: tuple[str, ...] = ()) -> GenerativeModel:
    return GenerativeModel(name, "1", 1_700_000_000, PlayedText(), PlayedLane(), adapters)
