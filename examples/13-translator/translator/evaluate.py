"""How good the translations of held-out texts are, and the report. The metrics are sacrebleu's."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sacrebleu
import torch

from translator.model import Translator
from translator.pages import Pair
from translator.pieces import Vocabulary

MOST_WRITTEN = 90
_TOGETHER = 64
_LENGTHS = (8, 15, 30)
_SHOWN = 8


@dataclass(frozen=True)
class Quality:
    """Of translations: BLEU and chrF2, 0 to 100; the share of exact ones; (words at most, texts, BLEU)."""

    texts: int
    bleu: float
    chrf: float
    exact: float
    by_length: tuple[tuple[int, int, float], ...]


def translate(model: Translator, vocabulary: Vocabulary, texts: Sequence[str]) -> list[str]:
    """Translate by torch: each time the piece with the highest score. A text without pieces has no words."""
    encoded = [vocabulary.encode(text) for text in texts]
    lengths: dict[int, list[int]] = {}
    for number, pieces in enumerate(encoded):
        lengths.setdefault(len(pieces), []).append(number)
    translations = [""] * len(texts)
    for length, numbers in lengths.items():
        for start in range(0, len(numbers) if length > 1 else 0, _TOGETHER):
            batch = numbers[start : start + _TOGETHER]
            source = torch.tensor([encoded[number] for number in batch])
            for number, pieces in zip(batch, model.translate(source, MOST_WRITTEN), strict=True):
                translations[number] = vocabulary.decode(pieces)
    return translations


def measure(pairs: Sequence[Pair], translations: Sequence[str]) -> Quality:
    """Compare translations with those that people made."""
    expected = [pair.spanish for pair in pairs]
    by_length = []
    shorter = 0
    for most in _LENGTHS:
        chosen = [n for n, pair in enumerate(pairs) if shorter < len(pair.english.split()) <= most]
        part = [translations[n] for n in chosen], [expected[n] for n in chosen]
        by_length.append((most, len(chosen), _bleu(*part) if chosen else 0.0))
        shorter = most
    exact = sum(one == other for one, other in zip(translations, expected, strict=True))
    chrf = sacrebleu.corpus_chrf(list(translations), [expected]).score
    return Quality(len(pairs), _bleu(translations, expected), chrf, exact / len(pairs), tuple(by_length))


def _bleu(translations: Sequence[str], expected: Sequence[str]) -> float:
    return sacrebleu.corpus_bleu(list(translations), [list(expected)]).score


def render_report(report: dict[str, Any], pairs: Sequence[Pair], translations: Sequence[str]) -> str:
    """Return the report in Markdown, with some translations."""
    test, last = report["test"], report["progress"][-1]
    chosen = random.Random(1).sample(range(len(pairs)), min(_SHOWN, len(pairs)))
    lengths = "\n".join(f"| {most} | {texts} | {bleu:.1f} |" for most, texts, bleu in test["by_length"])
    shown = "\n".join(
        f"- {pairs[n].english}\n  - model: {translations[n]}\n  - help page: {pairs[n].spanish}"
        for n in chosen
    )
    return f"""# Translator, English to Spanish

On {test["texts"]} held-out texts of the help pages: BLEU {test["bleu"]:.1f}, chrF2 {test["chrf"]:.1f},
{test["exact"]:.1%} exactly as the help page has it. {last["steps"]} steps over {report["data"]["pairs"]}
pairs took {last["cpu_seconds"]:.0f} s of one core; the model has {report["parameters"]} parameters.

| Words at most | Texts | BLEU |
|---|---|---|
{lengths}

ONNX Runtime writes the same string as torch for all {report["parity"]["texts"]} texts, alone and in batches.

Model: `model.onnx`, {report["model"]["sizeBytes"]} bytes, sha256 `{report["model"]["sha256"]}`.

{shown}
"""
