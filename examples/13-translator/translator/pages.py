"""The help of LibreOffice in two languages, from Debian's packages: a paragraph has the same id in both.

The packages `libreoffice-help-en-us`, `libreoffice-help-es` and `libreoffice-l10n-es` (LibreOffice 7.4.7 in
Debian 12, MPL-2.0) are downloaded with apt and unpacked into a folder; nothing is installed, and no text is
kept in this project.
"""

import gettext
import hashlib
import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("libreoffice-help-en-us", "libreoffice-help-es", "libreoffice-l10n-es")
# Of all pairs that the packages have. Releases of Debian 12 differ in version and share these texts.
PAIRS_SHA256 = "c144fc2810269bb774df3f5f6891ce8e8206e65321901c063b623eedc8a57fd2"

_HELP = Path("usr/share/libreoffice/help")
_MESSAGES = Path("usr/lib/libreoffice/program/resource/es/LC_MESSAGES")
_PARAGRAPH = re.compile(
    r'<(p|h[1-6]|td|li)\s+id="((?:par|hd|tit)_id[0-9A-Za-z_]+)"[^>]*>(.*?)</\1>', re.DOTALL
)
_TAG = re.compile("<[^>]+>")
# What programs fill in or a keyboard takes: nothing that one would say in a sentence.
_MARKUP = re.compile(r"[<>{}%$#\\|]")
_MOST_WORDS = (30, 36)
HELD_OUT_WORDS = 3


class DataError(Exception):
    """The texts are not there, or are not those that this example was written for."""


@dataclass(frozen=True)
class Pair:
    """A text and its translation; `is_help` where it is of the help pages, not of the program."""

    english: str
    spanish: str
    is_help: bool


@dataclass(frozen=True)
class Split:
    """Three parts without a common text: fit on train, look at validation, report on test."""

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]


def load_pairs(folder: Path) -> list[Pair]:
    """Return every pair of the packages, which are downloaded into `folder` where they are not there yet.

    Raises:
        DataError: apt cannot download them, or their texts are others.
    """
    kept = folder / "pairs.json"
    if not kept.exists():
        _write_pairs(folder, kept)
    content = kept.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != PAIRS_SHA256:
        raise DataError(
            f"{kept} has sha256 {digest}, expected {PAIRS_SHA256}: the texts of LibreOffice 7.4.7 as "
            "Debian 12 has them; remove the file to read the packages again"
        )
    return [Pair(*entry) for entry in json.loads(content)]


def _write_pairs(folder: Path, kept: Path) -> None:
    unpacked = folder / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    for package in PACKAGES:
        _unpack(_download(package, folder), unpacked)
    pairs = [*_read_help(unpacked), *_read_messages(unpacked)]
    entries = [[pair.english, pair.spanish, pair.is_help] for pair in pairs]
    partial = kept.with_suffix(".partial")
    partial.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    partial.replace(kept)
    shutil.rmtree(unpacked)


def _download(package: str, folder: Path) -> Path:
    """Download a package with the sources of this machine's apt, and lists of our own where it has none."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    own = ("-o", f"Dir::State::Lists={(folder / 'lists').resolve()}")
    attempts = (
        (("apt-get", "download", package),),
        (("apt-get", *own, "update"), ("apt-get", *own, "download", package)),
    )
    for commands in attempts:
        failed = next((result for command in commands if (result := _run(command, folder)).returncode), None)
        found = sorted(folder.glob(f"{package}_*.deb"))
        if failed is None and found:
            return found[-1]
    assert failed is not None
    raise DataError(f"apt-get cannot download {package}: {failed.stderr.strip()}; Debian 12 has it")


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DataError(f"{command[0]} is not there: this example reads packages of Debian 12") from None


def _unpack(package: Path, folder: Path) -> None:
    result = _run(("dpkg-deb", "-x", str(package.resolve()), str(folder.resolve())), package.parent)
    if result.returncode:
        raise DataError(f"dpkg-deb cannot unpack {package}: {result.stderr.strip()}")


def _read_help(unpacked: Path) -> Iterator[Pair]:
    english = unpacked / _HELP / "en-US"
    for page in sorted(english.rglob("text/**/*.html")):
        other = unpacked / _HELP / "es" / page.relative_to(english)
        if not other.exists():
            continue
        theirs = _read_paragraphs(other)
        for name, text in _read_paragraphs(page).items():
            if name in theirs:
                yield Pair(text, theirs[name], is_help=True)


def _read_paragraphs(page: Path) -> dict[str, str]:
    paragraphs: dict[str, str] = {}
    for _, name, content in _PARAGRAPH.findall(page.read_text(encoding="utf-8", errors="replace")):
        text = _squeeze(html.unescape(_TAG.sub("", content)))
        if text:
            paragraphs.setdefault(name, text)
    return paragraphs


def _read_messages(unpacked: Path) -> Iterator[Pair]:
    """Read what the program shows; a character that marks the key of a menu entry is dropped."""
    for catalogue in sorted((unpacked / _MESSAGES).glob("*.mo")):
        with catalogue.open("rb") as file:
            messages = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
        for name, translation in messages.items():
            if isinstance(name, str) and name:
                english = name.split("\x04")[-1]  # a context stands before
                yield Pair(*(_squeeze(re.sub("[~_]", "", text)) for text in (english, translation)), False)


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def similarity_key(text: str) -> str:
    """Return what near-duplicates share: letters in lower case, nothing else."""
    return re.sub("[^a-z]+", " ", text.lower()).strip()


def split_keys(keys: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Assign keys by their hashes, for ever: 96 % to learn from, 2 % for validation, 2 % for the test."""
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for key in keys:
        percent = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % 100
        parts[0 if percent >= 4 else 1 if percent >= 2 else 2].append(key)
    return parts


def split_pairs(pairs: Iterable[Pair]) -> Split:
    """Keep the first pair of each key that is of use, and assign it by its key.

    Only texts of help pages with at least three words are held out. Names and commands of the program are
    there to learn from.
    """
    first: dict[str, Pair] = {}
    for pair in pairs:
        if _is_of_use(pair):
            first.setdefault(similarity_key(pair.english), pair)
    sentences = {key for key, pair in first.items() if _is_sentence(pair)}
    _, validation, test = (set(part) for part in split_keys(sentences))
    return Split(
        tuple(pair for key, pair in first.items() if key not in validation | test),
        tuple(pair for key, pair in first.items() if key in validation),
        tuple(pair for key, pair in first.items() if key in test),
    )


def _is_sentence(pair: Pair) -> bool:
    return pair.is_help and len(pair.english.split()) >= HELD_OUT_WORDS


def _is_of_use(pair: Pair) -> bool:
    english, spanish = pair.english, pair.spanish
    lengths = len(english.split()), len(spanish.split())
    return bool(
        spanish
        and english != spanish
        and re.search("[A-Za-z]{2}", english)
        and lengths[0] <= _MOST_WORDS[0]
        and lengths[1] <= _MOST_WORDS[1]
        and (len(english) <= 12 or 0.4 < len(spanish) / len(english) < 2.6)
        and (pair.is_help or not _MARKUP.search(english))
    )
