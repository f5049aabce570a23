"""What is read of a help page, what is of use, and that no text is both learnt and tested."""

import gettext
import io
import json
import struct

import pytest
from translator import pages
from translator.pages import DataError, Pair, load_pairs, similarity_key, split_keys, split_pairs


def test_read_paragraphs_tags_and_entities_are_gone_and_empty_ones_left_out(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<p id="par_id1" class="x">Click <em>OK</em>\n  &amp; wait.</p><p id="par_id2"><img src="x"></p>'
        '<h1 id="hd_id3" dir="auto"><a name="top"></a>Título</h1><p id="other">no</p>'
        '<p id="par_id1">again</p>',
        encoding="utf-8",
    )
    assert pages._read_paragraphs(page) == {"par_id1": "Click OK & wait.", "hd_id3": "Título"}


@pytest.mark.parametrize(
    ("english", "spanish", "is_help"),
    [
        ("Calc", "Calc", True),
        ("1 2", "1, 2", True),
        ("Opens the file.", "", True),
        ("word " * 31, "palabra " * 31, True),
        ("A sentence that is long enough.", "No", True),
        ("Page %1", "Página %1", False),
    ],
)
def test_split_pairs_of_no_use_are_left_out(english, spanish, is_help):
    split = split_pairs([Pair(english, spanish, is_help), Pair("Open it.", "Ábralo.", True)])
    assert [pair.english for pair in split.train + split.validation + split.test] == ["Open it."]


def test_split_pairs_no_text_is_in_two_parts_and_only_sentences_are_held_out():
    pairs = [Pair(f"Opens page {word} again", f"Abre {word} otra vez", True) for word in make_words(3000)]
    pairs += [Pair(f"Opens Page {word} again!", f"Abre {word}", True) for word in make_words(3000)]
    pairs += [Pair(f"command {word}", f"orden {word}", False) for word in make_words(3000)]
    split = split_pairs(pairs)
    keys = [
        {similarity_key(pair.english) for pair in part}
        for part in (split.train, split.validation, split.test)
    ]
    assert len(set.union(*keys)) == sum(len(part) for part in keys) == 6000
    assert 30 < len(split.test) < 100
    assert all(pair.is_help for pair in split.validation + split.test)


def make_words(count: int) -> list[str]:
    letters = "abcdefghijklmnopqrst"
    return ["".join(letters[number // 20**place % 20] for place in range(4)) for number in range(count)]


def test_split_keys_order_does_not_matter():
    keys = make_words(500)
    assert [set(part) for part in split_keys(keys)] == [set(part) for part in split_keys(reversed(keys))]


def test_load_pairs_other_texts_are_refused(tmp_path):
    (tmp_path / "pairs.json").write_text(json.dumps([["a", "b", True]]))
    with pytest.raises(DataError, match=r"has sha256 .*, expected .*Debian 12"):
        load_pairs(tmp_path)


def test_load_pairs_without_apt_says_what_is_needed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="apt-get is not there: this example reads packages of Debian 12"):
        load_pairs(tmp_path / "data")


def test_read_messages_contexts_and_marks_of_keys_are_gone(tmp_path):
    folder = tmp_path / pages._MESSAGES
    folder.mkdir(parents=True)
    messages = {"": "Content-Type: text/plain; charset=UTF-8\n", "menu\x04~Open": "_Abrir"}
    (folder / "one.mo").write_bytes(make_catalogue(messages))
    assert list(pages._read_messages(tmp_path)) == [Pair("Open", "Abrir", False)]


def make_catalogue(messages: dict[str, str]) -> bytes:
    """A file as gettext's manual describes it: two tables of lengths and places, then the texts."""
    names = sorted(messages)
    texts = [text.encode() for text in (*names, *(messages[name] for name in names))]
    place = 28 + 8 * len(texts)
    tables = b""
    for text in texts:
        tables += struct.pack("<II", len(text), place)
        place += len(text) + 1
    head = struct.pack("<7I", 0x950412DE, 0, len(names), 28, 28 + 8 * len(names), 0, 0)
    data = head + tables + b"".join(text + b"\0" for text in texts)
    assert gettext.GNUTranslations(io.BytesIO(data)).gettext(names[-1])
    return data
