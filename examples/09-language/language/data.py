"""Sentences in many languages: the translated messages of Django, read from its package.

Django 5.2.19, BSD 3-Clause licence, from the Python package index; the digest of the package is pinned.
Nothing of it is installed or run.
"""

import hashlib
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

VERSION = "5.2.19"
SHA256 = "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00"
LANGUAGES = (
    "ar", "be", "bg", "ca", "cs", "da", "de", "el", "es", "et", "eu", "fa", "fi", "fr", "he", "hu", "id",
    "it", "ja", "ko", "nl", "pl", "ru", "sv", "tr", "uk",
)  # fmt: skip
"""As ISO 639 has them."""
_CATALOGUE = re.compile(r"django/(?:conf|contrib/\w+)/locale/(\w+)/LC_MESSAGES/django\.mo")
_PLACE = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}|<[^>]+>|&\w+;")
"""What a program fills in, and markup: of no language."""
_LEAST_LETTERS = 8
_MAGIC = 0x950412DE


class DataError(Exception):
    """The package is not there, or another one."""


@dataclass(frozen=True)
class Sentence:
    """A sentence, its language, and the English message that it translates: the same in all languages."""

    text: str
    language: str
    message: str


def load_sentences(folder: Path) -> list[Sentence]:
    """Return all sentences, each once; the package is downloaded into `folder` where it is not there yet.

    Raises:
        DataError: It cannot be downloaded, or is not the pinned one.
    """
    found: dict[tuple[str, str], Sentence] = {}
    with zipfile.ZipFile(_get_package(folder)) as package:
        for name in sorted(package.namelist()):
            catalogue = _CATALOGUE.fullmatch(name)
            if catalogue and catalogue[1] in LANGUAGES:
                for sentence in _read(package.read(name), catalogue[1]):
                    found.setdefault((sentence.language, sentence.text), sentence)
    return list(found.values())


def split(sentences: Sequence[Sentence], test_share: float) -> tuple[list[Sentence], list[Sentence]]:
    """Return sentences for training and for the test; translations of one message are all in one of them."""
    parts: tuple[list[Sentence], list[Sentence]] = ([], [])
    for sentence in sentences:
        position = int(hashlib.sha256(sentence.message.encode()).hexdigest()[:8], 16) / 2**32
        parts[position >= 1 - test_share].append(sentence)
    return parts


def _get_package(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    package = folder / f"django-{VERSION}-py3-none-any.whl"
    if not package.exists():
        pinned = folder / "django.txt"
        pinned.write_text(f"django=={VERSION} --hash=sha256:{SHA256}\n")
        command = ["pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        command = [sys.executable, "-m", *command, "--dest", str(folder), "--requirement", str(pinned)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DataError(f"pip cannot download Django {VERSION}: {done.stderr.strip()}")
    if hashlib.sha256(package.read_bytes()).hexdigest() != SHA256:
        raise DataError(f"{package} is not the package that was expected; remove it")
    return package


def _read(content: bytes, language: str) -> Iterator[Sentence]:
    for message, translation in _read_catalogue(content):
        key, text = message.partition("\0")[0], translation.partition("\0")[0]  # the singular of plurals
        text = " ".join(_PLACE.sub(" ", text).split())
        if text != key and sum(letter.isalpha() for letter in text) >= _LEAST_LETTERS:
            yield Sentence(text, language, key)


def _read_catalogue(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield the messages of a .mo file (GNU gettext manual, "The Format of GNU MO Files")."""
    magic, _, count, originals, translations = struct.unpack_from("<5I", content)
    if magic != _MAGIC:
        raise DataError("a catalogue is not a little-endian .mo file")
    for number in range(count):
        pair = []
        for table in (originals, translations):
            length, start = struct.unpack_from("<2I", content, table + 8 * number)
            pair.append(content[start : start + length].decode())
        if pair[0]:  # the empty message is the catalogue's head
            yield pair[0], pair[1]
