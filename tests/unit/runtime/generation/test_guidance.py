"""Texts kept in a form: what may come next is what the form allows, and forms that are bombs are refused."""

import json
import multiprocessing
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.generation.sampling.choosing import choose
from modelservice_runtime.generation.sampling.row import SamplingRow
from modelservice_runtime.generation.text import guidance, schemas
from modelservice_runtime.generation.text.folder_text import FolderText, load_text
from modelservice_runtime.generation.text.guidance import Guidance, LibraryGuide
from modelservice_runtime.generation.text.template.chat_template import ChatTemplate
from modelservice_runtime.generation.values import (
    FormKind,
    GenerationRequest,
    Guide,
    Sampling,
    TextForm,
    ToolPiece,
)
from modelservice_runtime.machine.threads import STACK_BYTES

END = 2
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 5}, "age": {"type": "integer", "maximum": 200}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "a", "parameters": PERSON}},
    {"type": "function", "function": {"name": "b"}},
]


def bytes_tokenizer(special: str) -> Tokenizer:
    """A token for every byte, the marks of calls, and an end; `special` ones are no text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = ["<pad>", "<s>", "<end>", *alphabet]
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<pad>", "<s>", "<end>", *special.split()])
    tokenizer.add_tokens([mark for mark in ("<tool_call>", "</tool_call>") if mark not in special])
    return tokenizer


def make_text(template: str = "", special: str = "[TOOL_CALLS] [ARGS]") -> FolderText:
    tokenizer = bytes_tokenizer(special)
    guides = Guidance(tokenizer.to_str(), tokenizer.get_vocab_size(), [END])
    return FolderText(tokenizer, ChatTemplate({"default": template}, {}), guides)


TEXT = make_text()


def write(text: FolderText, guide: Guide, wish: str, length: int = 400) -> str:
    """What a model writes that wants to write `wish`, then whatever ends soonest; by the sampler."""
    request = GenerationRequest((), length, Sampling(temperature=0), guide=guide)
    vocabulary = 300
    row = SamplingRow(request, vocabulary, frozenset({END}))
    wishes, stream, written = text.encode(wish), text.begin(request), ""
    rng = np.random.default_rng(0)
    for step in range(length):
        logits = rng.normal(0, 1, (1, vocabulary)).astype(np.float32)
        logits[0, END] = 20
        for letter in '"}]':
            logits[0, text.encode(letter)[0]] = 10
        if step < len(wishes):
            logits[0, wishes[step]] = 100
        choice = choose(logits, [row])[0]
        assert choice.error is None
        if choice.token == END:
            return written + stream.end()
        written += stream.add(choice.token)
        if guide.ended:
            return written + stream.end()
    raise AssertionError(f"no end: {written}")


@pytest.mark.parametrize(
    "wish", ["", "Hello, I am no JSON", '{"name": "Ada", "age": 36}', '{\n  "age', "[1, 2]"]
)
def test_schema_is_kept_whatever_the_model_wants(wish: str) -> None:
    text = write(TEXT, TEXT.guide(TextForm(FormKind.JSON_SCHEMA, PERSON)), wish)

    jsonschema.validate(json.loads(text), PERSON)
    if wish.startswith('{"name'):
        assert text == wish


def test_schema_may_come_as_a_text() -> None:
    text = write(TEXT, TEXT.guide(TextForm(FormKind.JSON_SCHEMA, json.dumps(PERSON))), "x")

    jsonschema.validate(json.loads(text), PERSON)


def test_any_object_is_an_object() -> None:
    text = write(TEXT, TEXT.guide(TextForm(FormKind.JSON_OBJECT)), '{"ü": [1, {"🙂": null}]}')

    assert json.loads(text) == {"ü": [1, {"🙂": None}]}


def test_spaces_come_to_an_end() -> None:
    nothing = {"type": "object", "properties": {}, "additionalProperties": False}

    text = write(TEXT, TEXT.guide(TextForm(FormKind.JSON_SCHEMA, nothing)), "{" + " " * 300)

    assert text == "{" + " " * 20 + "}"


@pytest.mark.parametrize("step", [0.01, 0.05, 5, 7, 60, 100_000])
def test_multiples_are_kept(step: float) -> None:
    schema = {"type": "number", "multipleOf": step}

    text = write(
        TEXT, TEXT.guide(TextForm(FormKind.JSON_SCHEMA, {"properties": {"multipleOf": schema}})), "{}"
    )

    assert json.loads(text) == {}


def test_forks_follow_texts_of_their_own() -> None:
    guide = TEXT.guide(TextForm(FormKind.CHOICE, ["yes", "no"]))
    forks = [guide.fork() for _ in range(2)]

    assert [write(TEXT, fork, wish) for fork, wish in zip(forks, ["no", "yes"], strict=True)] == ["no", "yes"]
    assert write(TEXT, guide, "yes") == "yes"


def test_pattern_is_kept() -> None:
    text = write(TEXT, TEXT.guide(TextForm(FormKind.REGEX, "[0-9]{3}-(a|b)c")), "12x-b")

    assert re.fullmatch("12[0-9]-bc", text)


@pytest.mark.parametrize(("wish", "expected"), [("no way", "no"), ("yes", "yes"), ('"q', '"quoted"\\\n')])
def test_choice_is_one_of_the_texts(wish: str, expected: str) -> None:
    choices = ["yes", "no", '"quoted"\\\n']

    assert write(TEXT, TEXT.guide(TextForm(FormKind.CHOICE, choices)), wish) == expected


TAGGED = '<tool_call>{"name"'
TEMPLATES = {
    "tagged": (TAGGED, ""),
    "tagged by special tokens": (TAGGED, "<tool_call> </tool_call>"),
    "plain": ('"parameters": dictionary', ""),
    "listed": ("[TOOL_CALLS] [", "[TOOL_CALLS]"),
    "listed as text": ("[TOOL_CALLS] [", ""),
    "named": ("[TOOL_CALLS] [ARGS]", "[TOOL_CALLS] [ARGS]"),
}


@pytest.mark.parametrize("tools", [TOOLS, TOOLS[:1]])
@pytest.mark.parametrize("family", TEMPLATES)
def test_model_that_must_call_a_tool_does_and_is_read(family: str, tools: list[dict[str, object]]) -> None:
    text = make_text(*TEMPLATES[family])

    written = write(text, text.guide(TextForm(FormKind.TOOL_CALLS, tools)), "I would rather not")

    reader = text.read_tools(is_forced=True)
    pieces = [*reader.feed(written), *reader.end()]
    names = [piece.name for piece in pieces if isinstance(piece, ToolPiece) and piece.name]
    arguments = "".join(piece.arguments for piece in pieces if isinstance(piece, ToolPiece))
    assert not [piece for piece in pieces if isinstance(piece, str)], written
    assert len(names) == 1
    if names == ["a"]:
        jsonschema.validate(json.loads(arguments), PERSON)


TWICE = {
    "tagged": "\n".join(['<tool_call>\n{"name": "b", "arguments": {}}\n</tool_call>'] * 2),
    "listed": '[TOOL_CALLS][{"name": "b", "arguments": {}}, {"name": "b", "arguments": {}}]',
    "named": "[TOOL_CALLS]b[ARGS]{}[TOOL_CALLS]b[ARGS]{}",
}


@pytest.mark.parametrize(("kind", "calls"), [(FormKind.TOOL_CALLS, 2), (FormKind.TOOL_CALL, 1)])
@pytest.mark.parametrize("family", TWICE)
def test_a_form_of_one_call_has_no_second(family: str, kind: FormKind, calls: int) -> None:
    text = make_text(*TEMPLATES[family])
    written = write(text, text.guide(TextForm(kind, TOOLS)), TWICE[family])

    reader = text.read_tools(is_forced=True)
    pieces = [*reader.feed(written), *reader.end()]
    assert (reader.calls, written.count("b")) == (calls, calls)
    assert {type(piece) for piece in pieces} == {ToolPiece}


def test_models_that_know_no_calls_say_so() -> None:
    with pytest.raises(InvalidRequestError, match="shows no calls of tools"):
        TEXT.read_tools(is_forced=False)


@pytest.mark.parametrize("tools", [TOOLS, TOOLS[:1]])
def test_models_that_know_no_calls_are_held_to_one_all_the_same(tools: list[dict[str, object]]) -> None:
    written = write(TEXT, TEXT.guide(TextForm(FormKind.TOOL_CALLS, tools)), "I would rather not")

    reader = TEXT.read_tools(is_forced=True)
    pieces = [*reader.feed(written), *reader.end()]
    assert {type(piece) for piece in pieces} == {ToolPiece}, written
    assert {piece.name for piece in pieces if isinstance(piece, ToolPiece)} & {"a", "b"}


# What schemas may ask for.


def _refusal(schema: object, kind: FormKind = FormKind.JSON_SCHEMA) -> str:
    with pytest.raises(InvalidRequestError) as refused:
        make_text(TAGGED).guide(TextForm(kind, schema))
    return str(refused.value)


def test_formats_that_say_nothing_of_the_form_are_let_be() -> None:
    unknown = {"type": "string", "format": "path", "enum": ["a/b"]}
    schema = {
        "type": "object",
        "$defs": {"format": unknown},
        "properties": {"format": {"$ref": "#/$defs/format"}, "enum": unknown, "const": {"anyOf": [unknown]}},
        "required": ["format", "enum", "const", "kept"],
        "additionalProperties": {"const": {"format": "path", "uniqueItems": False}},
    }
    text = write(TEXT, TEXT.guide(TextForm(FormKind.JSON_SCHEMA, schema)), "")

    kept = {"format": "path", "uniqueItems": False}  # a value, and no schema
    assert json.loads(text) == {"format": "a/b", "enum": "a/b", "const": "a/b", "kept": kept}
    assert schema["$defs"] == {"format": unknown}  # what the template is told stays what was sent
    tools = [{"function": {"name": "f", "parameters": {"properties": {"a": unknown}}}}]
    assert not make_text(TAGGED).guide(TextForm(FormKind.TOOL_CALLS, tools)).ended


@pytest.mark.parametrize("name", sorted(schemas.FORMATS))
def test_formats_of_the_library_are_kept(name: str) -> None:
    guide, mask = (
        TEXT.guide(TextForm(FormKind.JSON_SCHEMA, {"type": "string", "format": name})),
        bytearray(40),
    )
    guide.accept(TEXT.encode('"')[0])
    guide.allowed(memoryview(mask))

    allowed = np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")
    assert allowed.any()
    assert not allowed[TEXT.encode(" ")[0]]


@pytest.mark.parametrize("name", ["path", "password", "byte", "binary", "uri-reference", "int32"])
def test_formats_that_are_not_followed_are_none_of_the_library_s(name: str) -> None:
    """One that it learns belongs in the list."""
    import llguidance

    told = llguidance.LLMatcher.grammar_from_json_schema(json.dumps({"type": "string", "format": name}))
    assert "Unknown format" in str(llguidance.LLMatcher.validate_grammar(told))
    assert name not in schemas.FORMATS


@pytest.mark.parametrize(
    ("dialect", "is_known"),
    [
        ("https://json-schema.org/draft/2020-12/schema", True),
        ("http://json-schema.org/draft-07/schema#", True),
        ("https://json-schema.org/draft-07/schema#", False),
        ("https://example.com/mine.json", False),
    ],
)
def test_dialects_that_are_not_known_are_let_be(dialect: str, is_known: bool) -> None:
    schema = {"$schema": dialect, "properties": {"$schema": {"const": "a"}}, "required": ["$schema"]}

    text = write(TEXT, TEXT.guide(TextForm(FormKind.JSON_SCHEMA, {"type": "object", **schema})), "{")

    assert json.loads(text)["$schema"] == "a"
    assert ("$schema" in schemas.prepare_schema(schema)) is is_known


def test_one_of_open_objects_is_one_of_them() -> None:
    ways = [{"type": "object", "properties": {key: {"type": "null"}}, "required": [key]} for key in "ab"]

    text = write(TEXT, TEXT.guide(TextForm(FormKind.JSON_SCHEMA, {"oneOf": ways})), '{"b"')

    jsonschema.validate(json.loads(text), {"anyOf": ways})
    assert "b" in json.loads(text)


@pytest.mark.parametrize("kind", ["integer", "number"])
@pytest.mark.parametrize(
    ("low", "high"), [(-(2**63), 2**63 - 1), (-1.7976931348623157e308, 1e20), (0, 2**64)]
)
def test_bounds_beyond_what_the_library_counts_are_made_narrower(kind: str, low: float, high: float) -> None:
    schema = {"type": kind, "minimum": low, "maximum": high}

    guide = TEXT.guide(TextForm(FormKind.JSON_SCHEMA, schema))

    jsonschema.validate(json.loads(write(TEXT, guide, "9" * 30)), schema)


def test_bounds_that_leave_no_number_the_library_counts_are_refused_by_name() -> None:
    """It would take the largest that it can for larger ones."""
    assert "minimum is 1e+20, expected" in _refusal({"type": "integer", "minimum": 1e20, "maximum": 1e20})
    assert "exclusiveMaximum is -1e+20" in _refusal({"items": {"exclusiveMaximum": -1e20}})


def test_arguments_have_names() -> None:
    def tools(kind: object) -> object:
        return [{"function": {"name": "f", "parameters": {"type": kind, "properties": {"a": {}}}}}]

    said = _refusal(tools("string"), FormKind.TOOL_CALLS)
    assert "parameters of f have the type string, expected object" in said
    text = make_text(TAGGED)
    for kind in ("object", None, ["null", "object"]):
        guide = text.guide(TextForm(FormKind.TOOL_CALL, tools(kind)))
        written = write(text, guide, '<tool_call>\n{"name": "f", "arguments": null')
        assert '"arguments": {' in written


def test_texts_spelt_like_special_tokens_are_refused_in_words() -> None:
    assert "spelt like a special token" in _refusal({"const": "[ARGS]"})


UNFOLLOWED = {
    "uniqueItems": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    "contains": {"type": "array", "contains": {"type": "string"}},
    "unevaluatedItems": {"type": "array", "unevaluatedItems": False},
    "not": {"not": {"type": "string"}},
    "if": {"if": {"type": "string"}, "then": {"maxLength": 3}},
    "propertyNames": {"type": "object", "propertyNames": {"pattern": "^a"}},
    "dependentRequired": {"type": "object", "dependentRequired": {"a": ["b"]}},
    "unevaluatedProperties": {"type": "object", "unevaluatedProperties": False},
}


@pytest.mark.parametrize("keyword", UNFOLLOWED)
def test_what_cannot_be_kept_is_refused_by_name(keyword: str) -> None:
    schema = {"type": "object", "properties": {"a": UNFOLLOWED[keyword]}}
    tools = [{"function": {"name": "f", "parameters": schema}}]

    for said in (_refusal(schema), _refusal(tools, FormKind.TOOL_CALLS)):
        assert f'"{keyword}"' in said
        assert "leave out what" in said


def test_patterns_that_look_ahead_or_back_are_refused_with_what_is_wrong() -> None:
    assert "look-ahead" in _refusal({"type": "string", "pattern": "^(?!a).*$"})
    assert "backreferences" in _refusal({"type": "string", "pattern": r"(a)\1"})
    assert "maxProperties" in _refusal({"properties": {"a": {}}, "maxProperties": 1})


# Bombs.

DEEP: dict[str, object] = {}
for _ in range(300):
    DEEP = {"type": "object", "properties": {"a": DEEP}}
NESTED: dict[str, object] = {}
for _ in range(900):
    NESTED = {"x": NESTED}
DEEPER: list[object] = []
for _ in range(100_000):
    DEEPER = [DEEPER]
WIDE = {str(number): 1 for number in range(501)}
FIELDS = [{f"f{part}_{number}": {} for number in range(400)} for part in range(4)]
DEFINITIONS = {str(at): {"properties": part} for at, part in enumerate(FIELDS)}
BOMBS = {
    "deep": (FormKind.JSON_SCHEMA, DEEP),
    "deeper than Python": (FormKind.JSON_SCHEMA, {"enum": DEEPER}),
    "long": (FormKind.JSON_SCHEMA, {"enum": ["x" * 300_000]}),
    "long text": (FormKind.JSON_SCHEMA, '{"enum": ["' + "x" * 300_000 + '"]}'),
    "wide": (FormKind.JSON_SCHEMA, {"properties": {f"p{number}": {} for number in range(9_000)}}),
    "products": (
        FormKind.JSON_SCHEMA,
        {
            "allOf": [
                {"anyOf": [{"properties": {f"a{i}{j}": {}}, "required": [f"a{i}{j}"]} for j in range(5)]}
                for i in range(12)
            ]
        },
    ),
    "put together": (FormKind.JSON_SCHEMA, {"allOf": [{"properties": part} for part in FIELDS]}),
    "put together by references": (
        FormKind.JSON_SCHEMA,
        {"allOf": [{"$ref": f"#/$defs/{at}"} for at in range(4)], "$defs": DEFINITIONS},
    ),
    "put together beside": (
        FormKind.JSON_SCHEMA,
        {"properties": FIELDS[0], "anyOf": [{"properties": part} for part in FIELDS[1:]]},
    ),
    "a chain": (
        FormKind.JSON_SCHEMA,
        {"$ref": "#/$defs/0", "$defs": {at: {**one, "$ref": "#/$defs/3"} for at, one in DEFINITIONS.items()}},
    ),
    "nowhere": (FormKind.JSON_SCHEMA, {"$ref": "#/$defs/nothing"}),
    "elsewhere": (FormKind.JSON_SCHEMA, {"$ref": "http://127.0.0.1:1/schema"}),
    "strange": (FormKind.JSON_SCHEMA, {"type": "strange"}),
    "no schema": (FormKind.JSON_SCHEMA, "no schema"),
    "a list": (FormKind.JSON_SCHEMA, "[1]"),
    "remainders": (FormKind.JSON_SCHEMA, {"type": "integer", "multipleOf": 20_011}),
    "remainders of fractions": (FormKind.JSON_SCHEMA, {"type": "number", "multipleOf": 0.9973}),
    "remainders together": (
        FormKind.JSON_SCHEMA,
        {"allOf": [{"type": "integer", "multipleOf": prime} for prime in (7, 11, 13, 17)]},
    ),
    "remainders of a tool": (
        FormKind.TOOL_CALLS,
        [{"function": {"name": "f", "parameters": {"properties": {"a": {"multipleOf": 20_011}}}}}],
    ),
    "patterns of names": (
        FormKind.JSON_SCHEMA,
        {"type": "object", "patternProperties": {f"^{number}_": {} for number in range(33)}},
    ),
    "counted": (FormKind.REGEX, "(((a{1000}){1000}){1000})"),
    "a deep tool": (FormKind.TOOL_CALLS, [{"function": {"name": "f", "parameters": NESTED}}]),
    "many fields": (
        FormKind.TOOL_CALLS,
        [{"function": {"name": "f", "parameters": {str(n): 1 for n in range(501)}}}],
    ),
    "no pattern": (FormKind.REGEX, "(a"),
    "long pattern": (FormKind.REGEX, "a" * 300_000),
    "long choices": (FormKind.CHOICE, ["a" * 300_000]),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_forms_that_cannot_be_followed_are_refused_at_once(bomb: str) -> None:
    kind, value = BOMBS[bomb]

    with pytest.raises(InvalidRequestError):
        make_text(TAGGED).guide(TextForm(kind, value))


PATTERNS = [{"pattern": f"^a{number}$"} for number in range(11)]
CHAINED = {str(at): {**one, "$ref": f"#/$defs/{at + 1}"} for at, one in enumerate(PATTERNS[1:])}


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": PATTERNS},
        {**PATTERNS[0], "$ref": "#/$defs/0", "$defs": {**CHAINED, "10": {}}},
        {"allOf": [{"properties": {"a": {"items": one}}} for one in PATTERNS]},
    ],
)
def test_patterns_that_may_have_to_fit_one_text_are_counted(schema: dict[str, object]) -> None:
    """The library takes seconds for 19 of them, and minutes for 24."""
    assert "11 values of pattern, expected at most 10" in _refusal(schema)


@pytest.mark.parametrize("schema", [{"pattern": "a?b?" * 5000}, {"patternProperties": {"a?b?" * 5000: {}}}])
def test_characters_of_patterns_are_counted(schema: dict[str, object]) -> None:
    assert "patterns have 20000 characters, expected at most 16384" in _refusal({"properties": {"a": schema}})


def test_patterns_of_texts_of_their_own_are_as_many_as_there_are() -> None:
    schema = {"properties": {str(at): one for at, one in enumerate(PATTERNS)}, "type": "object"}
    assert not TEXT.guide(TextForm(FormKind.JSON_SCHEMA, schema)).ended


def follow_references(levels: int = 1800) -> None:
    """One that leads to the next, on a stack as small as those of servers; at its end each needs a list."""
    reference = [{"$ref": f"#/$defs/{level // 400}/$defs/{level}"} for level in range(levels)]
    ways: dict[str, dict[str, dict[str, object]]] = {}
    for level, further in enumerate([*reference[1:], {"type": "null"}]):
        ways.setdefault(str(level // 400), {"$defs": {}})["$defs"][str(level)] = {"items": further}
    form = TextForm(FormKind.JSON_SCHEMA, {"$defs": ways, "type": "array", "items": reference[0]})

    def follow() -> None:
        guide = TEXT.guide(form)
        mask = bytearray(40)
        for token in TEXT.encode("[" * 100 + "]" * 100):
            guide.allowed(memoryview(mask))
            assert np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")[token]
            guide.accept(token)
        assert guide.fork().ended

    threading.stack_size(STACK_BYTES)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(follow).result()


def test_references_may_lead_deep() -> None:
    """In a process of its own, for a stack that overflows ends it."""
    process = multiprocessing.get_context("spawn").Process(target=follow_references)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_form_whose_every_token_takes_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows wait for each: of a text as long as forms may have it takes a tenth of a second."""
    monkeypatch.setattr(guidance, "_MAX_STEP_SECONDS", 0.002)

    assert not TEXT.guide(TextForm(FormKind.REGEX, "a{100}b")).ended
    with pytest.raises(InvalidRequestError, match=r"each token of a text in this form takes \d"):
        TEXT.guide(TextForm(FormKind.REGEX, "a{20000}b"))


def test_many_fields_of_many_objects_are_followed() -> None:
    objects = {f"o{at}": {"properties": part, "required": list(part)} for at, part in enumerate(FIELDS)}
    described = {"$ref": "#/$defs/0", "description": "a reference with what says nothing of its form"}
    schema = {"properties": {**objects, "other": described}, "$defs": DEFINITIONS}
    assert not make_text(TAGGED).guide(TextForm(FormKind.JSON_SCHEMA, schema)).ended


def test_guide_that_gives_up_is_an_error_of_its_row() -> None:
    class Failed:
        def is_error(self) -> bool:
            return True

        def get_error(self) -> str:
            return "too many states\n<state>"

    with pytest.raises(InvalidRequestError, match=r"kept in form: too many states; make"):
        LibraryGuide(Failed(), 300).allowed(memoryview(bytearray(40)))  # type: ignore[arg-type]


def test_form_that_becomes_too_much_later_is_the_request_s_fault_too() -> None:
    """A client repeats what failed on the server's side, and this would fail each time."""
    guide = TEXT.guide(TextForm(FormKind.REGEX, ".*" * 200))
    request = GenerationRequest((), 1000, Sampling(temperature=0), guide=guide)
    row, letter = SamplingRow(request, 300, frozenset({END})), TEXT.encode("a")[0]
    logits = np.zeros((1, 300), np.float32)
    logits[0, letter] = 1
    choices = (choose(logits.copy(), [row])[0] for _ in range(1000))

    assert isinstance(next(choice.error for choice in choices if choice.error), InvalidRequestError)


def test_masks_of_another_width_are_filled_as_far_as_they_go() -> None:
    for words in (1, 20):
        mask = np.zeros(words, np.uint32)
        TEXT.guide(TextForm(FormKind.REGEX, "[a-z]+")).allowed(mask.data)
        assert not mask[10:].any()


def test_guides_of_a_folder_know_its_tokens(tiny_chat: Path) -> None:
    text = load_text(tiny_chat)

    guide = text.guide(TextForm(FormKind.CHOICE, ["Paris", "Rome"]))

    for token in text.encode("Rome"):
        mask = np.zeros(20, np.uint32)
        guide.allowed(mask.data)
        assert np.unpackbits(mask.view(np.uint8), bitorder="little")[token]
        guide.accept(token)
    assert guide.ended
