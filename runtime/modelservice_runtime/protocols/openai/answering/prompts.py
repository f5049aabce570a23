"""From what is asked to what a lane is given: templates and tokenizers, on threads of their own.

Neither a long prompt nor a slow template keeps the event loop from the streams of others.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.generation.values import (
    GenerationLimits,
    GenerationRequest,
    GenerativeModel,
    Guide,
    Sampling,
    ToolReader,
)
from modelservice_runtime.protocols.openai.answering.prompt_threads import PromptThreads
from modelservice_runtime.protocols.openai.asking.asked import ChatAsked, CompletionAsked
from modelservice_runtime.protocols.openai.asking.formats import AskedForm
from modelservice_runtime.protocols.openai.asking.sampling import Wishes
from modelservice_runtime.protocols.openai.asking.tools import AskedCalls
from modelservice_runtime.protocols.openai.errors import FieldError

# Longer ones cannot fit: no token of a usual vocabulary stands for more characters than this.
_MAX_CHARACTERS_OF_A_TOKEN = 128
# Of a longer text so many for each token that fits are looked at first. A cut changes the tokens around it
# only, so a beginning with twice as many as fit is one of a text that does not fit.
_FIRST_CHARACTERS_OF_A_TOKEN = 16
# Logprobs of prompts' tokens, with their alternatives, are told all at once: so many have 100 MB.
_MAX_PROMPT_LOGPROBS = 1 << 22
# One owner has two of them at most.
_THREADS = 3
# Bodies that wait, which take some times as much memory when they are read.
_MAX_WAITING_BYTES = 32 * 1024 * 1024
# Even bodies of a word must not be without number.
_MIN_BYTES = 16 * 1024

Result = TypeVar("Result")

_threads = PromptThreads(_THREADS, _MAX_WAITING_BYTES)


@dataclass(frozen=True, slots=True)
class Text:
    """One text to be generated, who finds calls of tools in it, and what is told before it.

    With `only_one` it ends behind the first call.
    """

    request: GenerationRequest
    tools: ToolReader | None = None
    echo: str = ""
    only_one: bool = False


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and of which adapter."""

    owner: str
    adapter: str | None


def prepare(
    owner: str,
    body_bytes: int,
    work: Callable[[], Result],
    done: Callable[["asyncio.Future[Result]"], None],
) -> None:
    """Run `work` on a thread in its owner's turn, then `done` on the event loop with the finished future.

    Raises OverloadedError where too many bodies of the owner wait.
    """
    made = _threads.submit(owner, max(body_bytes, _MIN_BYTES), work)
    asyncio.wrap_future(made).add_done_callback(done)


def prepare_chat(model: GenerativeModel, asked: ChatAsked, asker: Asker) -> list[Text]:
    """A conversation's texts, `n` of them. Raises InvalidRequestError."""
    size = sum([len(str(message["content"])) for message in asked.messages])
    calls, param = asked.calls, asked.param
    _check_length(size, model.lane.limits, param)
    prompt = model.text.render_chat(asked.messages, calls.tools, asked.variables)
    tokens = _encode(model, prompt, param, add_special_tokens=False)
    guide = _guide(model, asked.form)
    requests = _requests(model, tokens, param, asked.wishes, asker, guide)
    return [
        Text(one, _read_tools(model, calls) if calls.are_read else None, only_one=calls.only_one)
        for one in requests
    ]


def prepare_completion(model: GenerativeModel, asked: CompletionAsked, asker: Asker) -> list[Text]:
    """The texts behind each prompt. Raises InvalidRequestError."""
    texts: list[Text] = []
    guide, param = _guide(model, asked.form), asked.param
    scores = asked.echo and asked.wishes.logprobs is not None
    for prompt in asked.prompts:
        tokens = _encode(model, prompt, param) if isinstance(prompt, str) else prompt
        echo = ""
        if asked.echo:
            echo = prompt if isinstance(prompt, str) else model.text.decode(tokens)
        requests = _requests(model, tokens, param, asked.wishes, asker, guide)
        texts += [Text(replace(one, scores_prompt=scores), echo=echo) for one in requests]
    if scores:
        _check_prompt_logprobs([len(text.request.prompt) for text in texts], asked.wishes)
    return texts


def _check_prompt_logprobs(lengths: Sequence[int], wishes: Wishes) -> None:
    """Refuse an answer that would take the memory of the others. Raises FieldError."""
    count = sum(lengths) * (1 + (wishes.logprobs or 0))
    if count > _MAX_PROMPT_LOGPROBS:
        raise FieldError(
            f"the prompts of {len(lengths)} texts have {count} logprobs with their alternatives, and one "
            f"answer may have {_MAX_PROMPT_LOGPROBS}; send fewer prompts at once, or lower 'logprobs'",
            "logprobs",
        )


def _encode(model: GenerativeModel, text: str, param: str, *, add_special_tokens: bool = True) -> list[int]:
    """A text's tokens; one that is far too long is not read to its end. Raises FieldError."""
    limits = model.lane.limits
    _check_length(len(text), limits, param)
    most = limits.max_context_tokens
    beginning = text[: most * _FIRST_CHARACTERS_OF_A_TOKEN]
    if len(beginning) < len(text):
        found = len(model.text.encode(beginning, add_special_tokens=False))
        if found > 2 * most:
            raise FieldError(
                f"the first {len(beginning)} characters of {len(text)} have {found} tokens, and the model "
                f"takes {most} in all; shorten the {param}",
                param,
                "context_length_exceeded",
            )
    return model.text.encode(text, add_special_tokens=add_special_tokens)


def _requests(
    model: GenerativeModel,
    tokens: Sequence[int],
    param: str,
    wishes: Wishes,
    asker: Asker,
    guide: Guide | None,
) -> list[GenerationRequest]:
    """As many texts of one prompt as are wanted, each with a seed and a guide of its own."""
    if not tokens:
        raise FieldError(f"'{param}' has no tokens; send some text", param)
    max_tokens = _max_tokens(len(tokens), param, wishes, model.lane.limits)
    ends, sampling = wishes.ends, replace(model.sampling, **wishes.sampling, logprobs=wishes.logprobs)
    prompt = tuple(tokens)  # one for all: so they are known to have one prompt
    return [
        GenerationRequest(
            prompt=prompt,
            max_tokens=max_tokens,
            sampling=sampling if index == 0 else _reseeded(sampling, index),
            stop=ends.stop,
            stop_ids=ends.stop_ids,
            include_stop=ends.include_stop,
            ignore_eos=ends.ignore_eos,
            min_tokens=min(ends.min_tokens, max_tokens),
            guide=None if guide is None else guide.fork(),
            priority=wishes.priority,
            owner=asker.owner,
            cache_salt=wishes.cache_salt,
            adapter=asker.adapter,
        )
        for index in range(wishes.choices)
    ]


def _reseeded(sampling: Sampling, index: int) -> Sampling:
    """Another text of the same prompt and seed is to be another text."""
    return sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + index)


def _read_tools(model: GenerativeModel, calls: AskedCalls) -> ToolReader:
    try:
        return model.text.read_tools(is_forced=calls.form is not None)
    except InvalidRequestError as error:
        raise FieldError(f"'tools': {error}", "tools") from error


def _guide(model: GenerativeModel, form: AskedForm | None) -> Guide | None:
    if form is None:
        return None
    try:
        return model.text.guide(form.form)
    except InvalidRequestError as error:
        raise FieldError(f"'{form.param}': {error}", form.param) from error


def _max_tokens(prompt_tokens: int, param: str, wishes: Wishes, limits: GenerationLimits) -> int:
    """What the answer may have: what was asked for, or what there is room for."""
    room, wanted = limits.max_context_tokens - prompt_tokens, wishes.ends.max_tokens
    if room < (1 if wanted is None else wanted):
        answer = "" if wanted is None else f" and {wanted} of the answer"
        raise FieldError(
            f"{prompt_tokens} tokens of the prompt{answer} exceed the model's {limits.max_context_tokens}; "
            f"shorten the {param} or the answer",
            param,
            "context_length_exceeded",
        )
    if wanted is None:
        return min(room, limits.max_output_tokens)
    if wanted > limits.max_output_tokens:
        name = wishes.ends.limit_param
        raise FieldError(f"'{name}' is {wanted}; this server grants {limits.max_output_tokens}", name)
    return wanted


def _check_length(characters: int, limits: GenerationLimits, param: str) -> None:
    """Refuse what cannot fit before it is turned into tokens, which takes long."""
    most = limits.max_context_tokens * _MAX_CHARACTERS_OF_A_TOKEN
    if characters > most:
        raise FieldError(
            f"'{param}' has {characters} characters; more than {most} exceed the model's "
            f"{limits.max_context_tokens} tokens in any case",
            param,
            "context_length_exceeded",
        )
