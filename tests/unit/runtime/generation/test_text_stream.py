"""Pieces of a text: whole characters, no part of a stop string, and together the text of all tokens."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from modelservice_runtime.errors import InferenceFailedError, InvalidRequestError
from modelservice_runtime.generation.text.folder_text import FolderText, load_text
from modelservice_runtime.generation.text.stop_strings import StopStrings
from modelservice_runtime.generation.values import GenerationRequest

TEXTS = [
    "Schöne Grüße zurück \N{EN DASH} 你好 🙂!",
    "👩\u200d👩\u200d👧 e\u0301",
    " two  spaces ",
    "\n\n",
    "ab" * 50,
]


def bytes_tokenizer() -> Tokenizer:
    """A token for every byte: the worst case for characters."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<end>", "[TOOL_CALLS]"])
    tokenizer.add_tokens(["<tool_call>"])
    return tokenizer


def words_tokenizer() -> Tokenizer:
    """Words with the space before them, and bytes for the rest: as Llama 2 and Mistral have it."""
    words = ["<unk>", "▁Paris", "▁is", "▁a", "▁city", "s", "▁", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(
        models.BPE(
            {word: number for number, word in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True
        )
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


BYTES, WORDS = FolderText(bytes_tokenizer()), FolderText(words_tokenizer())


@pytest.mark.parametrize("text", TEXTS)
def test_bytes_of_tokens_are_those_of_the_text(text: str) -> None:
    for model in (BYTES, WORDS):
        tokens = model.encode(text.replace(" ", "▁") if model is WORDS else text)
        assert b"".join(map(model.token_bytes, tokens)) == text.encode()


def test_words_keep_their_spaces_and_special_tokens_are_no_text() -> None:
    assert [WORDS.token_bytes(token) for token in (1, 2, 7 + 0xE4)] == [b" Paris", b" is", b"\xe4"]
    assert [BYTES.token_bytes(token) for token in (256, 258, 9999)] == [b"", b"<tool_call>", b""]


def stream(
    text: FolderText, tokens: Sequence[int], prompt: tuple[int, ...] = (), **fields: object
) -> list[str]:
    """The pieces, as a lane asks for them."""
    pieces = text.begin(GenerationRequest(prompt, 999, **fields))  # type: ignore[arg-type]
    given = []
    for token in tokens:
        given.append(pieces.add(token))
        if pieces.stopped:
            return given
    return [*given, pieces.end()]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_whole_characters_and_together_the_text(text: str) -> None:
    pieces = stream(BYTES, BYTES.encode(text))

    assert "".join(pieces) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)
    assert len([piece for piece in pieces if piece]) == len(text)


@given(st.text("aé你🙂 \n", max_size=40))
def test_pieces_of_any_text_are_the_text(text: str) -> None:
    assert "".join(stream(BYTES, BYTES.encode(text))) == text


@given(st.lists(st.integers(0, 257), max_size=60))
def test_pieces_of_any_tokens_are_their_text(tokens: list[int]) -> None:
    """Bytes that are no character become one sign at least, and what follows is not lost."""
    end = BYTES.encode("end")

    pieces = "".join(stream(BYTES, [*tokens, *end]))

    assert pieces.endswith("end")
    visible = BYTES.decode([token for token in tokens if token < 256])
    if "\N{REPLACEMENT CHARACTER}" not in visible:
        assert pieces.replace("[TOOL_CALLS]", "") == visible + "end"


def test_text_that_ends_within_a_character_ends_before_it() -> None:
    tokens = BYTES.encode("Hi 🙂")

    assert "".join(stream(BYTES, tokens[:-1])) == "Hi "


def test_bytes_that_never_become_a_character_are_not_held_for_ever() -> None:
    pieces = stream(BYTES, BYTES.encode("🙂")[:1] * 100)

    assert "".join(pieces[:20])


def test_spaces_between_words_stay_also_behind_the_prompt() -> None:
    tokens = [1, 2, 3, 4, 5]  # ▁Paris ▁is ▁a ▁city s

    assert stream(WORDS, tokens)[:2] == ["Paris", " is"]
    assert "".join(stream(WORDS, tokens * 9, prompt=(2,))) == " Paris is a citys" * 9


def test_characters_of_several_fallback_tokens_are_whole() -> None:
    tokens = [1, *(7 + byte for byte in "你🙂".encode()), 2]

    assert stream(WORDS, tokens) == ["Paris", "", "", "你", "", "", "", "🙂", " is", ""]


@given(st.text("aé你🙂\u200ds ▁", max_size=30), st.text("aé你🙂\u200d", max_size=8))
@example("👩\u200d👩\u200d👧 🏳️\u200d🌈🙂🙂🙂", "Hi 🙂🙂")
def test_characters_of_fallback_tokens_follow_each_other(text: str, before: str) -> None:
    prompt = (*WORDS.encode("s"), *WORDS.encode(before))

    pieces = stream(WORDS, WORDS.encode(text), prompt)

    assert "".join(pieces) == text.replace("▁", " ")


@pytest.mark.parametrize("before", ["🙂", "s🙂é🙂", "a", "你🙂🙂🙂🙂"])
@pytest.mark.parametrize("missing", [1, 2, 3])
def test_prompt_that_ends_within_a_character_is_not_told_again(before: str, missing: int) -> None:
    tokens = [*WORDS.encode("s"), *WORDS.encode(before), *WORDS.encode("🙂")]

    pieces = stream(WORDS, [*tokens[-missing:], *WORDS.encode("a🙂")], tokens[:-missing])

    assert "".join(pieces) == "🙂a🙂"


def test_special_tokens_are_no_text_but_marks_of_calls_are() -> None:
    tokenizer = bytes_tokenizer()
    end, calls, call = (tokenizer.token_to_id(text) for text in ("<end>", "[TOOL_CALLS]", "<tool_call>"))

    pieces = stream(BYTES, [*BYTES.encode("a"), end, calls, *BYTES.encode("é")[:1], call, *BYTES.encode("b")])

    assert "".join(pieces) == "a[TOOL_CALLS]<tool_call>b"


# Stop strings.


def cut(text: str, stops: Sequence[str], *, include: bool = False) -> str:
    """The reference: character by character, the stop string that is complete first."""
    for end in range(len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[:end] if include else text[: end - max(map(len, complete))]
    return text


@given(
    st.text("ab🙂", max_size=30),
    st.lists(st.text("ab🙂", min_size=1, max_size=5), max_size=4),
    st.lists(st.integers(1, 6), min_size=1),
    st.booleans(),
)
def test_stop_strings_end_the_text_wherever_pieces_are_cut(
    text: str, stops: list[str], sizes: list[int], include: bool
) -> None:
    search, given, place = StopStrings(stops, include=include), "", 0
    while place < len(text) and not search.found:
        size = sizes[place % len(sizes)]
        given += search.add(text[place : place + size])
        assert cut(text, stops, include=include).startswith(given)
        place += size
    if not search.found:
        given += search.end()

    assert given == cut(text, stops, include=include)


@pytest.mark.parametrize("include", [False, True])
def test_stop_string_is_never_half_sent(include: bool) -> None:
    pieces = stream(BYTES, BYTES.encode("one END two"), stop=("END",), include_stop=include)

    assert pieces == ["o", "n", "e", " ", "", "", "END" if include else ""]


def test_what_only_began_like_a_stop_string_is_given_at_the_end() -> None:
    assert "".join(stream(BYTES, BYTES.encode("one EN"), stop=("END",))) == "one EN"


def test_stop_strings_wait_for_min_tokens() -> None:
    assert "".join(stream(BYTES, BYTES.encode("a.b.c.d"), stop=(".",), min_tokens=3)) == "a.b"


@pytest.mark.parametrize(
    ("stops", "sentence"),
    [
        (["a"] * 1_000_000, "stop has 1000000 strings, expected at most 16"),
        (["a" * 1025], "a string of stop has 1025 characters, expected 1 to 1024"),
        ([""], "a string of stop has 0 characters, expected 1 to 1024"),
    ],
)
def test_stop_strings_beyond_the_limits_are_refused(stops: list[str], sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        BYTES.begin(GenerationRequest((), 9, stop=tuple(stops)))


# Poisoned tokenizers.


def write(folder: Path, **parts: object) -> Path:
    config = json.loads(bytes_tokenizer().to_str())
    (folder / "tokenizer.json").write_text(json.dumps({**config, **parts}))
    return folder


def test_padding_and_truncation_of_the_file_do_not_touch_texts(tmp_path: Path) -> None:
    tokenizer = bytes_tokenizer()
    tokenizer.enable_padding(length=1000)
    tokenizer.enable_truncation(3)
    tokenizer.post_processor = processors.TemplateProcessing("<end> $A", None, [("<end>", 256)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    text = load_text(tmp_path, guides=False)

    assert text.encode("hello") == [256, *BYTES.encode("hello")]
    assert text.encode("hello", add_special_tokens=False) == BYTES.encode("hello")


def test_regular_expression_that_does_not_end_is_an_error_of_its_request(tmp_path: Path) -> None:
    split = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    text = load_text(write(tmp_path, pre_tokenizer=split), guides=False)

    with pytest.raises(InferenceFailedError, match="retry-limit"):
        text.encode("a" * 40 + "b")


GROWING = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 60}
POISONED = {
    "numbers": (
        {"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1 << 31}, "unk_token": "a"}},
        "has the id 2147483648",
    ),
    "grows": ({"normalizer": {"type": "Sequence", "normalizers": [GROWING] * 9}}, "makes texts"),
    "decodes": (
        {"decoder": {"type": "Sequence", "decoders": [GROWING] * 2}},
        "decoder makes texts",
    ),
    "adds": ({"post_processor": {"type": "X", "single": [0] * 65}}, "adds 65 tokens"),
    "ids": ({"post_processor": {"special_tokens": {"a": {"ids": [0] * 999}}}}, "adds 999 tokens"),
    "deep": ({"normalizer": None, "deep": None}, "not JSON"),
    "model": ({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}, "tokenizer.json: "),
    "merges": ({"model": {"type": "BPE", "vocab": {"a": 1}, "merges": [["a", "zz"]]}}, "tokenizer.json: "),
}


@pytest.mark.parametrize("kind", POISONED)
def test_tokenizers_that_cannot_be_trusted_are_refused(kind: str, tmp_path: Path) -> None:
    parts, sentence = POISONED[kind]
    folder = write(tmp_path, **parts)
    if kind == "deep":
        file = folder / "tokenizer.json"
        file.write_text(file.read_text().replace('"deep": null', '"deep": ' + "[" * 200_000 + "]" * 200_000))

    with pytest.raises(Exception, match=sentence) as told:
        load_text(folder, guides=False)

    assert type(told.value).__name__ in ("ModelLoadFailedError", "ModelRejectedError")


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff", b"{}", b'{"model": 1}'])
def test_files_that_are_no_tokenizer_are_told(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)

    with pytest.raises(Exception, match=r"tokenizer\.json") as told:
        load_text(tmp_path, guides=False)

    assert type(told.value).__name__ == "ModelLoadFailedError"


def test_half_a_character_is_the_request_s_fault(tiny_chat: Path) -> None:
    with pytest.raises(InvalidRequestError, match="half a character"):
        load_text(tiny_chat, guides=False).encode("a\ud800")
