"""What chat and completions have in common: sampling, ends, and what is refused by name; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelservice_runtime.generation.values import LOWEST_REPETITION_PENALTY
from modelservice_runtime.protocols.openai.asking.fields import Fields
from modelservice_runtime.protocols.openai.errors import FieldError

MAX_LOGPROBS = 20
_MAX_CHOICES = 8
# OpenAI takes four; texts that are held back because they may begin a stop string stay short.
_MAX_STOPS = 16
_MAX_STOP_LENGTH = 256
_MAX_STOP_IDS = 128
_MAX_BIASES = 1024
_MAX_TOKEN_ID = (1 << 31) - 1
_MAX_SALT_LENGTH = 256
_INT64 = 1 << 63
# Fields that would change the answer, and that this server does not know: silence would be a wrong answer.
_REFUSED = {
    "chat_template": "templates are code, so they come with the model only; send chat_template_kwargs",
    "functions": "it is the older form of 'tools'; send those",
    "function_call": "it is the older form of 'tool_choice'; send that",
    "audio": "this server answers with text alone",
    "web_search_options": "this server searches nothing",
    "prompt_logprobs": "logprobs are told of what is generated; send 'logprobs'",
    "allowed_token_ids": "send 'logit_bias' or 'structured_outputs'",
    "truncate_prompt_tokens": "shorten the prompt",
    "prompt_embeds": "send a text or token ids",
    "guided_grammar": "send 'structured_outputs' with json, regex or choice",
    "kv_transfer_params": "this server keeps its own cache",
}
# Of these clients send what asks for nothing, too: false, or an empty list.
_REFUSED_WHERE_ASKED = {
    "bad_words": "send 'logit_bias'",
    "documents": "put them into the messages",
    "logits_processors": "they are code",
    "use_beam_search": "this server samples; leave it out",
    "return_tokens_as_token_ids": "logprobs tell tokens as texts and bytes",
}


@dataclass(frozen=True, slots=True)
class Ends:
    """What ends a text.

    `max_tokens` None: as much as there is room for; `limit_param` is the field that says it.
    """

    max_tokens: int | None
    limit_param: str
    min_tokens: int
    stop: tuple[str, ...]
    stop_ids: frozenset[int]
    include_stop: bool
    ignore_eos: bool


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request says beside its prompt. `choices` texts are made of each prompt.

    `sampling` are those fields of `Sampling` that it names; the model's own hold for the others.
    """

    model: str
    sampling: Mapping[str, Any]
    logprobs: int | None
    ends: Ends
    choices: int
    streamed: bool
    include_usage: bool
    priority: int
    cache_salt: str


def read_wishes(
    fields: Fields,
    logprobs: int | None,
    *,
    least_tokens: int = 1,
    limits: tuple[str, ...] = ("max_completion_tokens", "max_tokens"),
) -> Wishes:
    """The fields that every request to generate may have. Raises FieldError.

    `logprobs` is read elsewhere: each endpoint says it differently. An answer of fewer than `least_tokens` is
    none. `limits` are the fields for the most tokens; the first that is there counts.
    """
    refuse(fields, _REFUSED, _REFUSED_WHERE_ASKED)
    fields.required("model")
    options = fields.object("stream_options")
    return Wishes(
        model=fields.text("model") or "",
        sampling=_read_sampling(fields),
        logprobs=logprobs,
        ends=_read_ends(fields, least_tokens, limits),
        choices=_read_choices(fields),
        streamed=fields.flag("stream"),
        include_usage=options is not None and options.flag("include_usage"),
        priority=fields.whole("priority", -(1 << 31), (1 << 31) - 1) or 0,
        cache_salt=fields.text("cache_salt", max_length=_MAX_SALT_LENGTH) or "",
    )


def refuse(fields: Fields, named: Mapping[str, str], asked: Mapping[str, str]) -> None:
    """Raise FieldError with the advice for a field that is there, or that is neither false nor empty."""
    found = [one for one in named.items() if fields.has(one[0])]
    found += [one for one in asked.items() if fields.any(one[0])]
    for name, advice in found:
        raise FieldError(f"'{name}' is not supported: {advice}", name)


def _read_sampling(fields: Fields) -> dict[str, Any]:
    top_k = fields.whole("top_k", -1, _MAX_TOKEN_ID)
    given = {
        "temperature": fields.number("temperature", 0, 2),
        "top_p": fields.number("top_p", 0, 1, above_low=True),
        "top_k": None if top_k is None else max(top_k, 0),
        "min_p": fields.number("min_p", 0, 1),
        "presence_penalty": fields.number("presence_penalty", -2, 2),
        "frequency_penalty": fields.number("frequency_penalty", -2, 2),
        "repetition_penalty": fields.number("repetition_penalty", LOWEST_REPETITION_PENALTY, 10),
        "logit_bias": _read_bias(fields),
        "seed": fields.whole("seed", -_INT64, _INT64 - 1),
    }
    return {name: value for name, value in given.items() if value is not None}


def _read_bias(fields: Fields) -> dict[int, float]:
    document = fields.raw_object("logit_bias") or {}
    name = fields.name("logit_bias")
    if len(document) > _MAX_BIASES:
        raise FieldError(f"'{name}' has {len(document)} entries; it may have {_MAX_BIASES}", name)
    biases = Fields(document, name)
    read: dict[int, float] = {}
    for key in document:
        if not (key.isascii() and key.isdigit() and len(key) < 10):
            raise FieldError(f"'{name}' has the key {key[:40]!r}; its keys are token ids", name)
        read[int(key)] = biases.number(key, -100, 100) or 0.0
    return read


def _read_ends(fields: Fields, least_tokens: int, limits: tuple[str, ...]) -> Ends:
    given = {name: fields.whole(name, least_tokens, _MAX_TOKEN_ID) for name in limits}
    limit_param = next((name for name, most in given.items() if most is not None), limits[-1])
    max_tokens = given[limit_param]
    min_tokens = fields.whole("min_tokens", 0, _MAX_TOKEN_ID) or 0
    if max_tokens is not None and min_tokens > max_tokens:
        raise fields.fail("min_tokens", f"at most the {max_tokens} tokens that the answer may have")
    return Ends(
        max_tokens=max_tokens,
        limit_param=limit_param,
        min_tokens=min_tokens,
        stop=_read_stops(fields),
        stop_ids=frozenset(read_token_ids(fields, "stop_token_ids", _MAX_STOP_IDS) or ()),
        include_stop=fields.flag("include_stop_str_in_output"),
        ignore_eos=fields.flag("ignore_eos"),
    )


def _read_stops(fields: Fields) -> tuple[str, ...]:
    value = fields.any("stop")
    stops = [value] if isinstance(value, str) else fields.items("stop", max_items=_MAX_STOPS) or []
    for stop in stops:
        if not isinstance(stop, str) or not 1 <= len(stop) <= _MAX_STOP_LENGTH:
            expected = f"a string of 1 to {_MAX_STOP_LENGTH} characters, or up to {_MAX_STOPS} of them"
            raise fields.fail("stop", expected)
    return tuple(stops)


def _read_choices(fields: Fields) -> int:
    choices = fields.whole("n", 1, _MAX_CHOICES) or 1
    best_of = fields.whole("best_of", 1, _MAX_TOKEN_ID)
    if best_of is not None and best_of != choices:
        raise FieldError(
            "'best_of' is not supported: every text that is made is told; send 'n'", fields.name("best_of")
        )
    return choices


def read_token_ids(fields: Fields, field: str, max_items: int) -> list[int] | None:
    """A list of token ids."""
    ids = fields.items(field, max_items=max_items)
    # There may be a million: not one by one in Python.
    if ids and (set(map(type, ids)) != {int} or min(ids) < 0 or max(ids) > _MAX_TOKEN_ID):
        raise fields.fail(field, "a list of token ids")
    return ids
