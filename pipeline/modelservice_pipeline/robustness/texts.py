"""Texts as people really write them, or bend them: each function changes one text, by a generator of its own.

Words mean the same to a reader afterwards (except for digits and cuts), so a model's answer should stay.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {
    key: row[max(0, at - 1) : at] + row[at + 1 : at + 2] for row in _KEYS for at, key in enumerate(row)
}
"""Of a key, those beside it on a QWERTY keyboard."""
_LOOKALIKES = str.maketrans("aceijopsxyABCEHIKMOPTXYZ", "асеіјорѕхуАВСЕНІКМОРТХУΖ")  # noqa: RUF001 - that is the point
_LEET = str.maketrans("aeiostAEIOST", "431057431057")
_INVISIBLE = ("\u200b", "\u200d", "\u2060", "\ufeff")
_BLANKS = ("  ", "\t", "\u00a0", " \n")


@dataclass(frozen=True)
class TextPerturbation:
    """A change of a text.

    Attributes:
        name: As one types it.
        title: What it does, for a report.
        change: From a text, a generator and the share of letters or words that are changed, to a text.
    """

    name: str
    title: str
    change: Callable[[str, Random, float], str]


def make_typos(text: str, random: Random, share: float) -> str:
    """Swap, drop, double or mistype a letter in a share of the words, at least in one."""
    words = text.split(" ")
    long = [at for at, word in enumerate(words) if sum(letter.isalpha() for letter in word) > 1]
    for at in random.sample(long, min(len(long), max(1, round(share * len(long))))):
        words[at] = _mistype(words[at], random)
    return " ".join(words)


def _mistype(word: str, random: Random) -> str:
    at = random.randrange(len(word) - 1)
    near = _NEIGHBOURS.get(word[at].lower(), "")
    kinds = ["swap", "drop", "double", *(["near"] if near else [])]
    kind = random.choice(kinds)
    if kind == "swap":
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == "drop":
        return word[:at] + word[at + 1 :]
    if kind == "double":
        return word[:at] + word[at] + word[at:]
    return word[:at] + random.choice(near) + word[at + 1 :]


def look_alike(text: str, random: Random, share: float) -> str:
    """Replace Latin letters by Cyrillic and Greek ones that look the same: a share of them, at least one."""
    return _translate(text, random, share, _LOOKALIKES)


def write_leet(text: str, random: Random, share: float) -> str:
    """Replace letters by digits that look like them."""
    return _translate(text, random, share, _LEET)


def _translate(text: str, random: Random, share: float, mapping: dict[int, int]) -> str:
    letters = [at for at, letter in enumerate(text) if ord(letter) in mapping]
    chosen = set(random.sample(letters, min(len(letters), max(1, round(share * len(letters))))))
    return "".join(letter.translate(mapping) if at in chosen else letter for at, letter in enumerate(text))


def hide_characters(text: str, random: Random, share: float) -> str:
    """Put characters without width between others: at a share of the places, at least at one."""
    if len(text) < 2:
        return text
    places = set(random.sample(range(1, len(text)), min(len(text) - 1, max(1, round(share * len(text))))))
    return "".join(
        (random.choice(_INVISIBLE) if at in places else "") + letter for at, letter in enumerate(text)
    )


def space_out(text: str, random: Random, share: float) -> str:
    """Write other blanks for a share of the spaces, at least for one, and some around the text."""
    blanks = [at for at, letter in enumerate(text) if letter == " "]
    chosen = set(random.sample(blanks, min(len(blanks), max(1, round(share * len(blanks))))))
    inner = "".join(random.choice(_BLANKS) if at in chosen else letter for at, letter in enumerate(text))
    return f" {inner}\n"


def change_digits(text: str, random: Random, share: float) -> str:  # noqa: ARG001 - all digits change
    """Write another digit for every digit."""
    return "".join(
        str((int(letter) + random.randrange(1, 10)) % 10) if letter in "0123456789" else letter
        for letter in text
    )


def cut(text: str, random: Random, share: float) -> str:  # noqa: ARG001 - half of the text always
    """Keep the first half of the words; of one word, of its letters."""
    words = text.split()
    return " ".join(words[: (len(words) + 1) // 2]) if len(words) > 1 else text[: (len(text) + 1) // 2]


def strip_accents(text: str, random: Random, share: float) -> str:  # noqa: ARG001 - all letters
    """Leave out accents and other marks."""
    return "".join(
        letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter)
    )


def strip_punctuation(text: str, random: Random, share: float) -> str:  # noqa: ARG001 - all of it
    """Leave out punctuation."""
    return "".join(letter for letter in text if not unicodedata.category(letter).startswith("P"))


TEXT_PERTURBATIONS: tuple[TextPerturbation, ...] = (
    TextPerturbation("typos", "letters swapped, dropped, doubled or mistyped", make_typos),
    TextPerturbation("upper", "all letters upper case", lambda text, *_: text.upper()),
    TextPerturbation("lower", "all letters lower case", lambda text, *_: text.lower()),
    TextPerturbation("homoglyphs", "letters of other scripts that look the same", look_alike),
    TextPerturbation("leet", "letters as digits", write_leet),
    TextPerturbation("zero-width", "invisible characters within words", hide_characters),
    TextPerturbation("whitespace", "tabs, double and unbreakable spaces, blanks around", space_out),
    TextPerturbation("digits", "other digits", change_digits),
    TextPerturbation("accents", "accents left out", strip_accents),
    TextPerturbation(
        "decomposed",
        "accents as characters of their own (NFD)",
        lambda text, *_: unicodedata.normalize("NFD", text),
    ),
    TextPerturbation("punctuation", "punctuation left out", strip_punctuation),
    TextPerturbation("truncation", "the first half alone", cut),
)
"""In the order of a report. Rows that a perturbation leaves as they are do not count for it."""
