"""A request for texts under way: its generations, what is told of them, and its end for whatever reason.

Event loop's thread only.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from typing import Any, Protocol

from modelservice_runtime.errors import (
    DeadlineExceededError,
    ModelUnavailableError,
    ServingError,
    internal_error,
)
from modelservice_runtime.generation.values import (
    Finish,
    Generation,
    GenerationLane,
    TokenEvent,
    TokenLogprob,
    ToolPiece,
    Usage,
)
from modelservice_runtime.protocols.openai.answering.prompts import Text
from modelservice_runtime.protocols.openai.answering.telling import tell_end
from modelservice_runtime.protocols.rest.answers import send
from modelservice_runtime.transport.http import EVENT_STREAM, HttpRequest, HttpResponse
from modelservice_runtime.transport.streaming import AnswerStream, StreamHead

log = logging.getLogger(__name__)

# Proxies hold back, keep or compress what they are not told to pass on as it comes.
_STREAM_HEADERS = ((b"Cache-Control", b"no-cache"), (b"X-Accel-Buffering", b"no"))


class Choice:
    """One text as far as it has come.

    `pieces` and `logprobs` are what came and is not told yet: all of it, where the answer is whole; logprobs
    as the form writes them. `begun`: something was told. `called`: a tool was called in it.
    """

    __slots__ = ("begun", "called", "finish", "generation", "index", "logprobs", "pieces", "text", "usage")

    def __init__(self, index: int, text: Text) -> None:
        self.index = index
        self.text = text
        self.generation: Generation | None = None
        self.begun = self.called = False
        self.pieces: list[str | ToolPiece] = [text.echo] if text.echo else []
        self.logprobs: list[Any] = []
        self.finish: Finish | None = None
        self.usage: Usage | None = None

    @property
    def is_enough(self) -> bool:
        """It has the one call that it may have."""
        reader = self.text.tools
        return self.text.only_one and reader is not None and reader.calls > 0

    def add(self, event: TokenEvent) -> None:
        """Take an event in, but for its logprobs."""
        reader = self.text.tools
        if reader is None:
            self.pieces += [event.text] if event.text else []
        elif not self.is_enough:
            pieces = reader.feed(event.text)
            if event.finish is not None:
                pieces += reader.end()
            if self.is_enough:
                pieces = list(takewhile(_is_no_further_call, pieces))
            self.called = self.called or any(isinstance(piece, ToolPiece) for piece in pieces)
            self.pieces += pieces
        if event.finish is not None:
            # What was cut behind its one call, for it could not be ended sooner, is no cut answer.
            is_call = self.is_enough or (self.called and event.finish is Finish.STOP)
            self.finish, self.usage = Finish.TOOL_CALLS if is_call else event.finish, event.usage


def _is_no_further_call(piece: str | ToolPiece) -> bool:
    return isinstance(piece, str) or piece.index == 0


class Form(Protocol):
    """How one protocol tells of texts."""

    def logprob(self, logprob: TokenLogprob) -> Any:
        """How a token's logprob is kept until it is told."""

    def first_frames(self) -> bytes:
        """What a stream begins with, before any text."""

    def frames(self, choice: Choice) -> bytes:
        """What is new of a text, as events of a stream; takes it."""

    def last_frames(self, usage: Usage) -> bytes:
        """What follows when all texts have ended."""

    def error_frames(self, error: ServingError) -> bytes:
        """The end of a stream that failed."""

    def whole(self, choices: Sequence[Choice], usage: Usage) -> HttpResponse:
        """All texts at once."""

    def error(self, error: ServingError) -> HttpResponse:
        """The answer where there are none."""


class TextCall:
    """See the module's text, and `Producer`."""

    def __init__(self, request: HttpRequest, form: Form) -> None:
        self._request = request
        self._form = form
        self._choices: list[Choice] = []
        self._open = 0
        self._stream: AnswerStream | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        request.on_disconnect = self.leave
        request.on_cut_off = self.cut_off

    @property
    def is_over(self) -> bool:
        """Nobody waits for anything any more."""
        return self._is_over

    def expire_after(self, seconds: float | None) -> None:
        """Give up when so much time has passed."""
        if seconds is not None:
            error = DeadlineExceededError("the time that the client allowed has passed")
            self._timer = asyncio.get_running_loop().call_later(seconds, self.fail, error)

    def start(self, lane: GenerationLane, texts: Sequence[Text], *, streamed: bool) -> None:
        """Begin, unless the client has gone; what speaks against it is told."""
        if self._is_over:
            return
        self._open = len(texts)
        self._choices = [Choice(index, text) for index, text in enumerate(texts)]
        asked = [(one.text.request, partial(self._on_event, one)) for one in self._choices]
        try:
            # From when it came: clients also wait while their prompts are made.
            begun = lane.submit(asked, self._request.received_ns / 1e9)
        except ServingError as error:
            self.fail(error)
            return
        for choice, generation in zip(self._choices, begun, strict=True):
            choice.generation = generation
        if streamed and not self._is_over:
            self._stream = self._request.stream(StreamHead(EVENT_STREAM, headers=_STREAM_HEADERS), self)
            if first := self._form.first_frames():
                self._stream.write(first)

    def leave(self) -> None:
        """The client has gone."""
        self._end()

    def fail(self, error: ServingError) -> None:
        """Tell an error in place of what is missing."""
        if self._is_over:
            return
        self._end(error)
        if self._stream is None:
            send(self._request, self._form.error(error))
        else:
            self._stream.write(self._form.error_frames(error))
            self._stream.end()

    # the stream's connection

    def pause(self) -> None:
        """See `Producer`."""
        for generation in self._generations():
            generation.pause()

    def resume(self) -> None:
        """See `Producer`."""
        for generation in self._generations():
            generation.resume()

    def cut_off(self) -> None:
        """See `Producer`."""
        self.fail(ModelUnavailableError("the server is leaving before the answer's end; ask again"))

    # inside

    def _on_event(self, choice: Choice, event: TokenEvent) -> None:
        if self._is_over:
            return
        try:
            self._take(choice, event)
        except ServingError as error:
            self.fail(error)
        except Exception:  # the last boundary: no client waits for ever, and the lane goes on
            log.exception("internal error while an answer was given")
            self.fail(internal_error())

    def _take(self, choice: Choice, event: TokenEvent) -> None:
        if event.error is not None:
            self.fail(event.error)
            return
        choice.add(event)
        choice.logprobs += map(self._form.logprob, event.logprobs)
        if choice.finish is not None:
            choice.generation = None
            self._open -= 1
        elif choice.is_enough and choice.generation is not None:
            choice.generation.finish()
        is_prompt = not event.tokens and event.logprobs and event.finish is None
        if self._stream is not None and not is_prompt:  # a prompt is told at once, as others tell it
            self._stream.write(self._form.frames(choice))
        if not self._open:
            self._complete()

    def _complete(self) -> None:
        usage = total_usage(self._choices)
        self._end()
        if self._stream is None:
            send(self._request, self._form.whole(self._choices, usage))
        else:
            self._stream.write(self._form.last_frames(usage))
            self._stream.end()

    def _end(self, error: ServingError | None = None) -> None:
        """Whoever ends it: logs and traces are told before the last of the answer is sent."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        for choice in self._choices:
            generation, choice.generation = choice.generation, None
            if generation is not None:
                choice.usage = generation.usage
                generation.cancel()
        usage = total_usage(self._choices) if any(choice.usage for choice in self._choices) else None
        finishes = [choice.finish for choice in self._choices if choice.finish is not None]
        self._request.tell(tell_end(usage, finishes, error))

    def _generations(self) -> list[Generation]:
        return [choice.generation for choice in self._choices if choice.generation is not None]


def total_usage(choices: Sequence[Choice]) -> Usage:
    """Tokens of all texts together; a prompt counts once, however many texts follow it."""
    prompts: dict[int, Usage] = {}
    completion = 0
    for choice in choices:
        if choice.usage is not None:
            completion += choice.usage.completion
            prompts.setdefault(id(choice.text.request.prompt), choice.usage)
    return Usage(
        prompt=sum([usage.prompt for usage in prompts.values()]),
        completion=completion,
        cached=sum([usage.cached for usage in prompts.values()]),
    )
