"""Calls of tools are found in texts however they are cut, and the names come before the arguments."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.generation.text.tools.families import family_of
from modelservice_runtime.generation.text.tools.readers import ListedReader, PlainReader, TaggedReader
from modelservice_runtime.generation.values import ToolPiece, ToolReader

Read = tuple[str, list[tuple[str, str]]]


def read(reader: ToolReader, parts: list[str]) -> Read:
    """The text for people, and each call's name and arguments, with what a client may rely on."""
    pieces: list[str | ToolPiece] = []
    for part in parts:
        pieces += reader.feed(part)
    pieces += reader.end()
    calls: list[list[str]] = []
    for piece in pieces:
        if isinstance(piece, str):
            assert piece
        elif piece.name is not None:
            assert piece.index == len(calls)
            calls.append([piece.name, piece.arguments])
        else:
            assert piece.index == len(calls) - 1
            calls[-1][1] += piece.arguments
    return "".join(piece for piece in pieces if isinstance(piece, str)), [(a, b) for a, b in calls]


def tagged(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {arguments}}}\n</tool_call>'


NESTED = '{"a": "}\\"] \\\\", "b": [{"c": 1.5e3}, null], "ü": "你 </tool_call>"}'
TEXTS: dict[str, tuple[Callable[[], ToolReader], str, Read]] = {
    "tagged": (TaggedReader, tagged("add", NESTED), ("", [("add", NESTED)])),
    "tagged behind a text": (TaggedReader, f"I ask.\n\n{tagged('add', '{}')}", ("I ask.", [("add", "{}")])),
    "tagged twice": (
        TaggedReader,
        f"{tagged('a', '{}')}\n{tagged('b', NESTED)}\n",
        ("", [("a", "{}"), ("b", NESTED)]),
    ),
    "tagged, arguments first": (
        TaggedReader,
        '<tool_call>{"arguments": {"x": 1}, "name": "f"}</tool_call>',
        ("", [("f", '{"x": 1}')]),
    ),
    "tagged, arguments as text": (
        TaggedReader,
        '<tool_call>{"name": "f", "arguments": "{\\"x\\": 1}"}</tool_call>',
        ("", [("f", '{"x": 1}')]),
    ),
    "tagged, no arguments": (TaggedReader, '<tool_call>{"name": "f"}</tool_call>', ("", [("f", "")])),
    "tagged, no end": (TaggedReader, '<tool_call>{"name": "f", "arguments": {"x', ("", [("f", '{"x')])),
    "tagged, no call": (TaggedReader, "<tool_call>soon</tool_call> b", ("<tool_call>soon b", [])),
    "tagged, cut early": (TaggedReader, '<tool_call>{"na', ('<tool_call>{"na', [])),
    "no tags": (TaggedReader, "a <tool> b <tool_cal", ("a <tool> b <tool_cal", [])),
    "plain": (PlainReader, '{"name": "add", "parameters": ' + NESTED + "}", ("", [("add", NESTED)])),
    "plain with a type": (
        PlainReader,
        '\n<|python_tag|>{"type": "function", "name": "f", "parameters": {}}',
        ("", [("f", "{}")]),
    ),
    "plain twice": (
        PlainReader,
        '{"name": "f", "parameters": {}}; {"name": "g", "parameters": {"x": 1}}\n',
        ("", [("f", "{}"), ("g", '{"x": 1}')]),
    ),
    "plain, an answer": (PlainReader, "The sum is {3}.", ("The sum is {3}.", [])),
    "plain, JSON of a person": (
        PlainReader,
        '{"name": "Ada", "age": 36}',
        ('{"name": "Ada", "age": 36}', []),
    ),
    "plain, JSON with a name": (PlainReader, '{"name": "Ada"}', ('{"name": "Ada"}', [])),
    "plain, cut early": (PlainReader, '{"name": "f', ('{"name": "f', [])),
    "listed": (
        ListedReader,
        '[TOOL_CALLS] [{"name": "a", "arguments": ' + NESTED + '}, {"name": "b", "arguments": {}}]',
        ("", [("a", NESTED), ("b", "{}")]),
    ),
    "listed behind a text": (
        ListedReader,
        'Yes.[TOOL_CALLS][{"name": "a", "arguments": {}}]',
        ("Yes.", [("a", "{}")]),
    ),
    "named": (
        ListedReader,
        "[TOOL_CALLS]a[ARGS]" + NESTED + "[TOOL_CALLS]b[CALL_ID]123456789[ARGS]{}",
        ("", [("a", NESTED), ("b", "{}")]),
    ),
    "listed, no call": (
        ListedReader,
        '[TOOL_CALLS] [{"city": "Köln"}], or so',
        ('[TOOL_CALLS] [{"city": "Köln"}], or so', []),
    ),
    "listed, empty": (ListedReader, "[TOOL_CALLS][] none", ("[TOOL_CALLS][] none", [])),
    "listed, a call and no call": (
        ListedReader,
        '[TOOL_CALLS][{"name": "a", "arguments": {}}, {"b": 1}]',
        ("]", [("a", "{}")]),
    ),
    "listed, cut early": (ListedReader, '[TOOL_CALLS][{"na', ('[TOOL_CALLS][{"na', [])),
    "named, no call": (ListedReader, "[TOOL_CALLS] I cannot.", ("[TOOL_CALLS] I cannot.", [])),
    "named, no name": (ListedReader, "[TOOL_CALLS][ARGS]{}", ("[TOOL_CALLS][ARGS]{}", [])),
    "named, cut early": (ListedReader, "[TOOL_CALLS]a[CALL_ID]12", ("[TOOL_CALLS]a[CALL_ID]12", [])),
    "half a character in a name": (
        TaggedReader,
        tagged("f\ud83d", "{}"),
        ("", [("f?", "{}")]),
    ),
    "half a character in arguments as text": (
        TaggedReader,
        '<tool_call>{"name": "f", "arguments": "\\udc00"}</tool_call>',
        ("", [("f", "?")]),
    ),
    "listed, an answer": (ListedReader, "[1] is a list", ("[1] is a list", [])),
}


@pytest.mark.parametrize("kind", TEXTS)
@settings(max_examples=20)
@given(data=st.data())
def test_calls_are_found_wherever_the_text_is_cut(kind: str, data: st.DataObject) -> None:
    make, text, expected = TEXTS[kind]
    cuts = sorted(data.draw(st.sets(st.integers(1, max(len(text) - 1, 1)))))
    parts = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    assert read(make(), parts) == expected


@given(st.text('<tool_ca">{}[]:,\\ name;[TOOL_CALLS]ARGS', max_size=60), st.sampled_from([0, 1, 2]))
def test_no_text_is_an_error_or_lost_in_part(text: str, kind: int) -> None:
    make = (TaggedReader, PlainReader, ListedReader)[kind]

    whole, calls = read(make(), [text])

    assert (whole, calls) == read(make(), list(text))
    if "<tool_call>" not in text and not calls:
        assert whole == text or not text.strip(" \n;")


def test_arguments_are_told_while_they_are_written() -> None:
    reader = TaggedReader()

    first = reader.feed('<tool_call>\n{"name": "f", "arguments": ')
    second = reader.feed('{"a": "long')
    third = reader.feed(' text"}')

    assert first == [ToolPiece(0, "f")]
    assert second == [ToolPiece(0, arguments='{"a": "long')]
    assert third == [ToolPiece(0, arguments=' text"}')]


@pytest.mark.parametrize(
    ("template", "reader"),
    [
        ("... <tool_call>\n{\"name\": <function-name>} ...", TaggedReader),
        (r"... <tool_call>\n{\"name\": <function-name>} ...", TaggedReader),
        ("{{ '<tool_call>\n' }}{{ '{\"name\": ' + name }}", TaggedReader),
        ("[TOOL_CALLS] [", ListedReader),
        ("[TOOL_CALLS]{{ name }}[ARGS]", ListedReader),
        ('Respond in the format {"name": function name, "parameters": dictionary of it}', PlainReader),
    ],
)  # fmt: skip
def test_family_is_told_by_the_template(template: str, reader: type) -> None:
    family = family_of(template)

    assert family is not None
    assert isinstance(family.reader(), reader)


@pytest.mark.parametrize(
    "template", ["", "<tool_call>\n<function=f>", "<tool_call>f<arg_key>", "<tool_call></tool_call>"]
)
def test_families_that_are_not_known_are_none(template: str) -> None:
    assert family_of(template) is None


@pytest.mark.parametrize(
    "tool", [{}, {"function": {"name": ""}}, {"function": {"name": "f", "parameters": 3}}]
)
def test_tools_without_names_or_schemas_are_refused(tool: dict[str, object]) -> None:
    family = family_of('<tool_call>{"name')

    assert family is not None
    with pytest.raises(InvalidRequestError):
        family.grammar([tool], json.dumps)
