"""The other engines beside ours: their runs in turns with ours, and what is compared."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from benchmarks.generation.line import Line
from benchmarks.generation.own import Own
from benchmarks.generation.smollm import ImpossibleError, prepare_llama, prepare_openvino, run
from benchmarks.generation.work import NEW_TOKENS, ROWS, make_prompts

_TURNS = 2
# Environments and files that are made here alone.
_PREPARE = {"openvino": prepare_openvino, "llama": prepare_llama}


@dataclass(frozen=True)
class Ratio:
    """A peer's CPU seconds over ours, each by the name that its measurement has."""

    what: str
    peer: str
    theirs: str
    ours: str
    target: float | None = None


_RATIOS = (
    Ratio("16 streams / genai one by one", "genai", "one_by_one", "together", 1.4),
    Ratio("16 streams / genai static batch", "genai", "static", "together", 1.0),
    Ratio("1 stream / genai Generator", "genai", "one", "one", 0.95),
    Ratio("16 streams / OpenVINO GenAI, continuous batching", "openvino", "together", "together", 1.3),
    Ratio("1 stream / OpenVINO GenAI", "openvino", "one", "one"),
    Ratio("16 streams / llama.cpp, continuous batching", "llama", "together", "together"),
    Ratio("1 stream / llama.cpp", "llama", "one", "one"),
)


class Peer:
    """Another engine with its files, or the reason why it cannot be had here."""

    def __init__(self, name: str, python: Path | None, *arguments: str | Path, reason: str = "") -> None:
        self.name, self.reason = name, reason
        self.texts: list[list[int] | str] = []
        self._command = python and (python, "-m", f"benchmarks.generation.peers.{name}", *arguments)
        self._runs: list[dict[str, float]] = []

    def measure(self) -> None:
        """Run its program once more."""
        if not self._command or self.reason:
            return
        try:
            printed = json.loads(run(*self._command).splitlines()[-1])
        except ImpossibleError as error:
            self.reason = str(error)
            return
        self.texts = printed.pop("texts", [])
        self._runs.append(printed)

    def line(self, ratio: Ratio, precision: str, ours: Mapping[str, float]) -> Line:
        """The best of its runs over the best of ours."""
        if self.reason:
            return Line(ratio.what, precision, None, ratio.target, reason=self.reason)
        theirs = min(one[ratio.theirs] for one in self._runs)
        return Line(ratio.what, precision, theirs / ours[ratio.ours], ratio.target)


def prepare_peers(genai: Path, folder: Path, precision: str, *, is_other_model: bool) -> list[Peer]:
    """All of them."""
    peers = [Peer("genai", genai, folder)]
    for name, prepare in _PREPARE.items():
        if is_other_model:
            peers.append(Peer(name, None, reason="only with the model that is prepared here"))
            continue
        try:
            peers.append(Peer(name, *prepare(precision), precision))
        except ImpossibleError as error:
            peers.append(Peer(name, None, reason=str(error)))
    return peers


def measure_beside(own: Own, peers: list[Peer], folder: Path, precision: str) -> Iterator[Line]:
    """The same work by all."""
    together, single = [], []
    # In turns: what else runs on the machine changes what a second of its CPUs is worth.
    for _ in range(_TURNS):
        together.append(own.generate(make_prompts(ROWS)))
        single += [own.generate(make_prompts(1)) for _ in range(2)]
        for peer in peers:
            peer.measure()
    ours, by_name = {"together": min(together), "one": min(single)}, {peer.name: peer for peer in peers}
    for ratio in _RATIOS:
        yield by_name[ratio.peer].line(ratio, precision, ours)
    if precision == "fp32":  # with fewer bits each rounds in its own way
        yield from _texts_alike(own, peers, folder)


def _texts_alike(own: Own, peers: list[Peer], folder: Path) -> Iterator[Line]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def readable(text: list[int] | str) -> str:
        return text if isinstance(text, str) else tokenizer.decode(text, skip_special_tokens=False)

    ours = [readable(text) for text in own.texts(make_prompts(ROWS), NEW_TOKENS)]
    for peer in peers:
        if peer.texts:
            alike = sum(readable(text) == wanted for text, wanted in zip(peer.texts, ours, strict=True))
            yield Line(f"texts that are {peer.name}'s to the letter, of {ROWS}", "fp32", alike)
