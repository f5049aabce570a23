"""Which commands there are, and what each needs installed."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast


class CommandModule(Protocol):
    """A module of this folder; it imports nothing heavy before `run`."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; returns the exit code. Raises PipelineError."""


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        name: As one types it.
        help: What it does, in one line; without a full stop.
        description: The same as sentences, for its own help.
        examples: Command lines, each from "modelservice model" on.
        codes: Exit codes that only this one has, and what they mean.
        packages: What it imports beyond the packages of the API, of the extra `pipeline`.
    """

    name: str
    help: str
    description: str
    examples: tuple[str, ...]
    codes: tuple[tuple[int, str], ...] = ()
    packages: Sequence[str] = ("numpy", "onnx", "onnxruntime", "rich")

    def load(self) -> CommandModule:
        """Import the module of the command; its name is that of the command."""
        name = self.name.replace("-", "_")
        return cast("CommandModule", import_module(f"modelservice_pipeline.commands.{name}"))


COMMANDS: tuple[Command, ...] = (
    Command(
        "signature",
        "show what a model takes and answers",
        "Show the inputs and outputs of a model: their names, types and shapes.",
        ("modelservice model signature model.onnx",),
    ),
    Command(
        "compress",
        "make a model smaller or faster without losing quality",
        "Make candidates of a model (8 bits, fewer units, a student), judge each by rows of data, measure it "
        "in the server beside the original, and keep the fastest whose loss is surely small.",
        (
            "modelservice model compress model.onnx test.csv --max-drop 0.01 --output compressed",
            "modelservice model compress embed.onnx texts.jsonl --metric cosine --objective size",
        ),
        packages=("matplotlib", "numpy", "onnx", "onnxruntime", "rich"),
    ),
    Command(
        "explain",
        "show what in an input made a model answer as it does",
        "Show how much each word of a text, or each column of a row, moved a number that a model answers: by "
        "LIME, by Shapley values over all coalitions (exact), or by KernelSHAP (shap).",
        (
            'modelservice model explain model.onnx "Claim your prize now" --method lime',
            'modelservice model explain http://127.0.0.1:8080/v2/models/spam "Call now" --method exact',
            "modelservice model explain model.onnx --background train.csv --row 0 --method shap --output why",
        ),
        packages=("matplotlib", "numpy", "onnxruntime"),
    ),
)
"""In the order in which a model meets them."""
