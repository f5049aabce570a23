"""Texts in a given form: which tokens may come next, by the library llguidance (the extra `guidance`)."""

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.generation.text.schemas import MAX_PARTS, check_size, prepare_schema
from modelservice_runtime.machine.threads import STACK_BYTES, run_on_stack

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

_MAX_FORM_CHARACTERS = 256 * 1024
# What compiling a form and one step of it may cost, in units of the library: about 20,000 are a millisecond.
_COMPILE_FUEL = 400_000
_STEP_FUEL = 50_000
_MAX_STATES = 50_000
_TRIED_STEPS = 4
# All rows wait for the mask of each; most take less than a millisecond. What has to come is looked at to its
# end in each step, such as the 40,000 letters of `a{40000}`, and the library counts no fuel for that.
_MAX_STEP_SECONDS = 0.02
# The library follows references within a schema on the stack, as deep as they lead: 5 KiB for an object.
_LEVEL_BYTES = 12 * 1024
_UNFOLLOWED = "Unimplemented keys"
# The byte by which the library begins what special tokens are called; no text has it.
_SPECIAL = "applying '\N{LATIN SMALL LETTER Y WITH DIAERESIS}'"
_INSTALL = "this server has no package llguidance, which keeps texts in a form; pip install llguidance there"


class Guidance:
    """Makes guides for one model's tokens; used on any thread.

    `tokenizer` is the JSON of its file, `vocabulary` how many logits it has, `ends` what tokens end a text.
    """

    def __init__(self, tokenizer: str, vocabulary: int, ends: Sequence[int]) -> None:
        self._tokens = _open(tokenizer, vocabulary, ends)

    def of_schema(self, schema: object) -> "LibraryGuide":
        """Follows a JSON schema, an object or its text. Raises InvalidRequestError."""
        try:
            text = schema if isinstance(schema, str) else json.dumps(schema)
            _check_length(text)
            read = json.loads(text)
            check_size(read)
            grammar = _matcher().grammar_from_json_schema(json.dumps(prepare_schema(read)))
        except (ValueError, RecursionError) as error:
            raise InvalidRequestError(f"the schema is no JSON schema: {str(error)[:200]}") from error
        return self._guide(grammar)

    def of_pattern(self, pattern: str) -> "LibraryGuide":
        """Follows a regular expression. Raises InvalidRequestError."""
        _check_length(pattern)
        return self._guide(_matcher().grammar_from_regex(pattern))

    def of_choice(self, texts: Sequence[str]) -> "LibraryGuide":
        """Is one of the texts. Raises InvalidRequestError."""
        return self.of_grammar("start: " + " | ".join(map(json.dumps, texts)))

    def of_grammar(self, grammar: str) -> "LibraryGuide":
        """Follows a grammar in the library's dialect of Lark. Raises InvalidRequestError."""
        _check_length(grammar)
        return self._guide(_matcher().grammar_from_lark(grammar))

    def literal(self, text: str, token: int | None) -> str:
        """A text in a grammar; `token` stands for it as a whole, and may be no text to the library."""
        if token is not None and self._tokens is not None and self._tokens.is_special_token(token):
            return f"<[{token}]>"
        return json.dumps(text)

    def _guide(self, grammar: str) -> "LibraryGuide":
        if self._tokens is None:
            raise InvalidRequestError(_INSTALL)
        from llguidance import LLParserLimits

        limits = LLParserLimits(
            initial_lexer_fuel=_COMPILE_FUEL,
            step_lexer_fuel=_STEP_FUEL,
            max_lexer_states=_MAX_STATES,
            verbose_errors=False,
        )
        tokens = self._tokens

        def make() -> "LibraryGuide":
            matcher = _matcher()(tokens, grammar, log_level=0, limits=limits)
            _check(matcher)
            _try(matcher.deep_copy())
            return LibraryGuide(matcher, tokens.vocab_size)

        levels = min(grammar.count("{"), MAX_PARTS)
        return run_on_stack(STACK_BYTES + levels * _LEVEL_BYTES, make)


class LibraryGuide:
    """See `Guide`."""

    def __init__(self, matcher: "LLMatcher", vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._mask = np.zeros((vocabulary + 31) // 32, np.uint32)

    def allowed(self, mask: memoryview) -> None:
        """See `Guide.allowed`. Raises InvalidRequestError where the form became too much."""
        own = self._mask
        if not self._matcher.is_error():
            self._matcher.unsafe_compute_mask_ptr(own.ctypes.data, own.nbytes)
        if self._matcher.is_error():
            raise InvalidRequestError(
                f"the text cannot be kept in form: {_sentence(self._matcher)}; make the form simpler"
            )
        words = np.frombuffer(mask, np.uint32)
        shared = min(len(words), len(own))
        words[:shared] = own[:shared]

    def accept(self, token: int) -> None:
        """See `Guide.accept`."""
        if not self._matcher.is_stopped():
            self._matcher.consume_token(token)

    @property
    def ended(self) -> bool:
        """See `Guide.ended`."""
        return bool(self._matcher.is_stopped()) and not self._matcher.is_error()

    def fork(self) -> "LibraryGuide":
        """See `Guide.fork`."""
        return LibraryGuide(self._matcher.deep_copy(), self._vocabulary)


def _matcher() -> "type[LLMatcher]":
    try:
        from llguidance import LLMatcher
    except ModuleNotFoundError as error:
        raise InvalidRequestError(_INSTALL) from error
    return LLMatcher


def _open(tokenizer: str, vocabulary: int, ends: Sequence[int]) -> "LLTokenizer | None":
    """The library's own view of the tokens; None where it is not installed."""
    try:
        from llguidance import LLTokenizer
    except ModuleNotFoundError:
        return None
    return LLTokenizer(tokenizer, n_vocab=vocabulary, eos_token=list(ends))


def _check(matcher: Any) -> None:
    if matcher.is_error():
        raise InvalidRequestError(f"the form cannot be followed: {_sentence(matcher)}")


def _try(matcher: "LLMatcher") -> None:
    """Take some steps: the first are the dearest, and what is too much is the request's error now."""
    seconds = []
    for _ in range(_TRIED_STEPS):
        started = time.thread_time()
        mask = matcher.compute_bitmask()
        seconds.append(time.thread_time() - started)
        allowed = np.flatnonzero(np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little"))
        _check(matcher)
        if matcher.is_stopped() or not len(allowed):
            return
        matcher.consume_token(int(allowed[0]))
        _check(matcher)
    if min(seconds) > _MAX_STEP_SECONDS:
        raise InvalidRequestError(
            f"each token of a text in this form takes {min(seconds) * 1000:.0f} ms to find; make its "
            "texts and repetitions shorter"
        )


def _check_length(form: str) -> None:
    if len(form) > _MAX_FORM_CHARACTERS:
        raise InvalidRequestError(
            f"the form has {len(form)} characters, expected at most {_MAX_FORM_CHARACTERS}; make it simpler"
        )


def _sentence(matcher: Any) -> str:
    """What the library says, without where in a grammar or in a pattern."""
    first, *more = str(matcher.get_error()).splitlines()
    said = [line.removeprefix("error: ") for line in more if line.startswith("error: ")]
    before, unfollowed, keywords = first.partition(_UNFOLLOWED)
    if unfollowed:
        return f"{unfollowed}{keywords[:200]}; leave out what these ask for"
    if _SPECIAL in first:
        return "a text that has to come is spelt like a special token of the model; leave it out"
    return " ".join([before, *said])[:200]
