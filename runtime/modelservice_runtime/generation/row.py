"""One generation between its tokens: what each new one means, and when it is the last. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from modelservice_runtime.generation.backend import Logits
from modelservice_runtime.generation.sampling.choosing import Choice
from modelservice_runtime.generation.sampling.logprobs import logprob_of
from modelservice_runtime.generation.sampling.row import SamplingRow
from modelservice_runtime.generation.values import (
    Finish,
    GenerationRequest,
    TokenEvent,
    TokenLogprob,
    Usage,
)


class TextStream(Protocol):
    """Turns one generation's tokens into pieces of text, and finds its stop strings."""

    def add(self, token: int) -> str:
        """The text that is certain now; empty while a character or a stop string may still be coming."""

    def end(self) -> str:
        """What was held back: no more tokens come."""

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found; the text before it was given."""


BeginText = Callable[[GenerationRequest], TextStream]


@dataclass(slots=True, eq=False)
class TextRow:
    """A generation's sampling and text. `cached` tokens of its prompt were known."""

    request: GenerationRequest
    sampling: SamplingRow
    text: TextStream
    eos_ids: frozenset[int]
    cached: int = 0
    made: int = 0

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        return Usage(len(self.request.prompt), self.made, self.cached)

    def accept(self, choice: Choice) -> TokenEvent:
        """What comes of a chosen token; the event says whether it was the last."""
        self.made += 1
        text, finish = self._read(choice.token)
        logprobs = () if choice.logprob is None else (choice.logprob,)
        usage = None if finish is None else self.usage
        return TokenEvent(text, (choice.token,), logprobs, finish, usage)

    def score(self, past: int, logits: Logits) -> tuple[TokenLogprob, ...]:
        """The prompt's tokens that these logits [places, vocabulary], behind `past` tokens and on, tell of.

        The first token of all is told with them. Raises InferenceFailedError.
        """
        prompt, count = self.request.prompt, self.request.sampling.logprobs or 0
        told = zip(prompt[past + 1 :], logits, strict=False)
        scores = tuple(logprob_of(token, row, count) for token, row in told)
        return scores if past else (TokenLogprob(prompt[0], None), *scores)

    def _read(self, token: int) -> tuple[str, Finish | None]:
        if self._ends(token):
            return self.text.end(), Finish.STOP
        text = self.text.add(token)
        if self.text.stopped:
            return text, Finish.STOP
        guide = self.request.guide
        if guide is not None and guide.ended:
            return text + self.text.end(), Finish.STOP
        if self.made >= self.request.max_tokens:
            return text + self.text.end(), Finish.LENGTH
        return text, None

    def _ends(self, token: int) -> bool:
        request = self.request
        return token in request.stop_ids or (token in self.eos_ids and not request.ignore_eos)
