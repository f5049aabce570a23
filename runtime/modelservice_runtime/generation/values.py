"""What a generation is asked for and what comes of it, as plain values; no I/O, no ONNX Runtime."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from modelservice_runtime.errors import ServingError
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.generation.statistics import GenerationStatistics

# Far lower ones make infinities of logits, which are divided by them.
LOWEST_REPETITION_PENALTY = 0.01


class Finish(StrEnum):
    """Why a generation ended, in the words of OpenAI's API; CANCELLED is never sent to anybody."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen of its logits.

    `temperature` 0 takes the most probable one. `top_k` 0, `top_p` 1 and `min_p` 0 leave nothing out.
    Penalties follow OpenAI's (`presence`, `frequency`: subtracted from the logit of a token that was
    generated) and Hugging Face's (`repetition`: divides positive logits, multiplies negative ones, prompt
    included).
    `logit_bias` is added by token id. `logprobs` is how many alternatives are told beside the chosen token;
    None tells nothing.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    logprobs: int | None = None


class Guide(Protocol):
    """Follows one generation and says which tokens may come next, for structured output."""

    def allowed(self, mask: "memoryview") -> None:
        """Write one bit a token (little-endian 32-bit words): 1 where it may come next."""

    def accept(self, token: int) -> None:
        """The chosen token."""

    @property
    def ended(self) -> bool:
        """Whether the text is complete."""

    def fork(self) -> "Guide":
        """Another one for another text, as far as this one has come; costs little."""


class FormKind(StrEnum):
    """How the form of a text is described."""

    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    CHOICE = "choice"
    TOOL_CALL = "tool_call"
    TOOL_CALLS = "tool_calls"


@dataclass(frozen=True, slots=True)
class TextForm:
    """What a text must look like.

    `value` is a JSON schema (an object, or its text), a pattern or a list of texts; None for any JSON object.
    For calls of tools it is the tools of which one must be called (TOOL_CALL), or at least one, in the
    model's own words for it.
    """

    kind: FormKind
    value: Any = None


@dataclass(frozen=True, slots=True)
class ToolPiece:
    """A part of a call of a tool: the first of a call has `name`, all add to its JSON `arguments`.

    `index` counts the calls of one text.
    """

    index: int
    name: str | None = None
    arguments: str = ""


class ToolReader(Protocol):
    """Finds the calls of tools in one text as it comes; `calls` of them have come to their end."""

    calls: int

    def feed(self, text: str) -> "list[str | ToolPiece]":
        """What is certain by now, in order: text for people, and parts of calls."""

    def end(self) -> "list[str | ToolPiece]":
        """What was held back, when no more text comes."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One text to be generated.

    `stop` are strings that end it and are not part of it, `stop_ids` tokens that do. `min_tokens` come
    before any end. `priority`: lower ones first. `owner` is who asks (the name of an API key): what prompts
    have in common is reused for the same owner and `cache_salt` only, and turns go round over owners.
    `adapter` is the name of one of the model's; None asks for the model itself. `scores_prompt`: the prompt's
    tokens are told with their logprobs, too. With `max_tokens` 0 the prompt is read, and nothing more made.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    stop_ids: frozenset[int] = frozenset()
    include_stop: bool = False
    ignore_eos: bool = False
    min_tokens: int = 0
    guide: Guide | None = None
    priority: int = 0
    owner: str = ""
    cache_salt: str = ""
    adapter: str | None = None
    scores_prompt: bool = False


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token and the natural logarithm of its probability, before sampling narrowed the choice.

    `logprob` is None for a prompt's first token: nothing tells what comes first.
    """

    token: int
    logprob: float | None
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one generation; `cached` of the prompt's were known from an earlier one."""

    prompt: int
    completion: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """A piece of text, and the tokens that made it; `text` may be empty (half a character or stop string).

    The last event of a generation has `finish`, or `error`, and `usage`. Logprobs without tokens are those of
    a part of the prompt.
    """

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish: Finish | None = None
    usage: Usage | None = None
    error: ServingError | None = None


Sink: TypeAlias = Callable[[TokenEvent], None]
"""Called on the event loop's thread for each event, in order; once with the end."""


class Generation(Protocol):
    """One request under way."""

    @property
    def usage(self) -> Usage:
        """Tokens so far: the prompt's, read or not, and those that were made."""

    def cancel(self) -> None:
        """End it within one step, waiting or running; the sink hears no more of it."""

    def finish(self) -> None:
        """End its text within one step as if it had stopped there, which the sink hears."""

    def pause(self) -> None:
        """Nobody reads: its row makes no more tokens until `resume`."""

    def resume(self) -> None:
        """Somebody reads again."""


class TextModel(Protocol):
    """Texts to tokens, and back; made of a model's folder."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids; special tokens that are written out in `text` count as such."""

    def decode(self, tokens: list[int]) -> str:
        """The text of tokens, without special ones."""

    def token_bytes(self, token: int) -> bytes:
        """What one token adds to a text, perhaps a part of a character; nothing for special ones."""

    def render_chat(
        self,
        messages: list[dict[str, object]],
        tools: list[dict[str, object]] | None,
        variables: Mapping[str, object],
    ) -> str:
        """The prompt of a conversation, by the model's own template. Raises InvalidRequestError."""

    def read_tools(self, *, is_forced: bool) -> ToolReader:
        """A reader for one text of this model's family.

        `is_forced`: the text is kept in the form of calls. Raises InvalidRequestError where it is not, and
        the model knows no calls.
        """

    def guide(self, form: TextForm) -> Guide:
        """What keeps one text in a form. Raises InvalidRequestError for a form that cannot be kept."""


@dataclass(frozen=True, slots=True)
class GenerationLimits:
    """What one model grants. `max_context_tokens`: prompt and completion together."""

    max_context_tokens: int
    max_output_tokens: int
    max_sequences: int
    max_queued_prompt_tokens: int


class GenerationLane(Protocol):
    """Runs one model's generations; used on the event loop's thread."""

    @property
    def limits(self) -> GenerationLimits:
        """What it grants."""

    @property
    def running(self) -> int:
        """Generations that have a row."""

    @property
    def waiting(self) -> int:
        """Generations that wait for one."""

    @property
    def adapters_in_use(self) -> tuple[frozenset[str], frozenset[str]]:
        """Adapters of generations that have a row, and of those that wait for one."""

    @property
    def kv_usage(self) -> float:
        """Which share of the memory for keys and values holds something that is in use, 0 to 1."""

    @property
    def tokens_in_flight(self) -> int:
        """Tokens of all generations under way: prompts, also those that wait, and what was made of them."""

    @property
    def statistics(self) -> GenerationStatistics:
        """What it counts; the lane writes it."""

    def submit(
        self, asked: Sequence[tuple[GenerationRequest, Sink]], came_at: float | None = None
    ) -> Sequence[Generation]:
        """Begin the texts of one owner's request as soon as there is room: all of them, or none.

        Times are told from `came_at` on, by the performance counter; None is now.
        Texts of one prompt share the object. Raises InvalidRequestError (one cannot fit), OverloadedError
        (too many prompt tokens wait).
        """


@dataclass(frozen=True, slots=True, eq=False)
class GenerativeModel:
    """A loaded generative model, as protocols see it."""

    name: str
    version: str
    created: int  # seconds since 1970: when its files were made
    text: TextModel
    lane: GenerationLane
    adapters: tuple[str, ...] = ()
    requests: ModelStatistics = field(default_factory=ModelStatistics)
    """What autoscalers look at: requests in flight, waits and times."""
    sampling: Sampling = field(default_factory=Sampling)
    """What holds for requests that do not say otherwise, as the model's makers advise."""

    def adapter_of(self, name: str) -> str | None:
        """The adapter that is asked for by one of this model's names; None for its own."""
        return None if name == self.name else name
