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
        module: Where it is, if not in this folder: one that needs a cluster is not of the pipeline.
    """

    name: str
    help: str
    description: str
    examples: tuple[str, ...]
    codes: tuple[tuple[int, str], ...] = ()
    packages: Sequence[str] = ("numpy", "onnx", "onnxruntime", "rich")
    module: str = ""

    def load(self) -> CommandModule:
        """Import the module of the command; its name is that of the command."""
        name = self.name.replace("-", "_")
        return cast("CommandModule", import_module(self.module or f"modelservice_pipeline.commands.{name}"))


PACKAGING = ("onnx", "rich", "urllib3")

COMMANDS: tuple[Command, ...] = (
    Command(
        "train",
        "train on several nodes of a cluster",
        "Run a script by torchrun on several nodes: as an Indexed Job with a headless Service, or as a "
        "TrainJob of Kubeflow where the cluster serves that. The YAML is printed; --apply starts it. A node "
        "that dies is started again; a script that writes checkpoints to $CHECKPOINTS goes on from there.",
        (
            "modelservice model train --nodes 2 --image registry.example.com/torch:2 --as job train.py",
            "modelservice model train --nodes 2 --image torch:2 --claim models --apply train.py --epochs 3",
        ),
        packages=("yaml",),
    ),
    Command(
        "signature",
        "show what a model takes and answers",
        "Show the inputs and outputs of a model: their names, types and shapes.",
        ("modelservice model signature model.onnx",),
    ),
    Command(
        "text",
        "put a tokenizer before a model, in one file that takes texts",
        "Write a tokenizer.json of Hugging Face as stock operators of ONNX, put it before a model of tokens, "
        "and pool its vectors, in one file that takes texts. It is written only if tokens and answers are "
        "those of the library and of the model for every text that is compared.",
        (
            "modelservice model text tokenizer.json --output tokenizer.onnx",
            "modelservice model text minilm encoder.onnx --pool mean --normalize --output model.onnx",
        ),
        packages=("numpy", "onnx", "onnxruntime", "tokenizers", "rich"),
    ),
    Command(
        "convert",
        "convert a framework's model to ONNX and prove that it answers the same",
        "Convert a model of a framework to ONNX, and prove that it answers as the framework does. The "
        "framework runs in an environment of its own, which is made when it is first needed, and without "
        "network: reading a pickle runs the code in it, so convert only what you would run.",
        (
            "modelservice model convert --from sklearn pipeline.joblib --output models/churn",
            "modelservice model convert --from xgboost model.json --samples rows.csv --output models/price",
            "modelservice model convert --from torch net.py:Net --input x=float32[batch,10] --output net",
            "modelservice model convert --from transformers-causal smollm --precision int4 --output chat",
            "modelservice model convert --from transformers-causal smollm --adapter law=lora --output chat",
        ),
    ),
    Command(
        "verify",
        "replay the proof of a converted model: does it answer here as in its framework",
        "Run a model on the inputs of the proof beside it, and compare with what its framework answered: "
        "numbers within the proof's tolerance, classes unless they are tied, texts exactly.",
        ("modelservice model verify models/churn", "modelservice model verify model.onnx --json"),
        ((3, "an answer is not that of the framework"),),
        ("numpy", "onnxruntime"),
    ),
    Command(
        "evaluate",
        "measure a model on data, alone or against another",
        "Measure a model on rows with right answers: figures with bootstrap intervals, per class, slice and "
        "fold, calibration. Two models are compared on the same rows. A model is a file or a served one.",
        (
            "modelservice model evaluate model.onnx test.csv",
            "modelservice model evaluate model.onnx test.csv --slice country --folds 10 --output report",
            "modelservice model evaluate http://127.0.0.1:8080/v2/models/spam test.csv --at-least f1=0.94",
            "modelservice model evaluate model.onnx test.csv smaller.onnx --max-drop f1=0.01",
        ),
        ((3, "a figure is worse than --at-least, or --max-drop does not hold"),),
        ("matplotlib", "numpy", "onnxruntime", "rich", "sacrebleu"),
    ),
    Command(
        "robustness",
        "try a model on rows that are not clean, and its server on wrong requests and load",
        "Perturb rows (typos, case, look-alikes, invisible characters, noise, numbers at the edge) and count "
        "the answers that change. With --fuzz a server also gets wrong requests, with --stress rising load.",
        (
            "modelservice model robustness model.onnx test.csv",
            "modelservice model robustness model.onnx test.csv --only typos,upper --max-changed typos=0.05",
            "modelservice model robustness http://127.0.0.1:8080/v2/models/spam test.csv --fuzz --stress",
        ),
        ((3, "--max-changed does not hold, or the server failed at a wrong request"),),
        ("matplotlib", "numpy", "onnxruntime", "rich", "sacrebleu"),
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
        "card",
        "write a model card with licence, figures, inputs and outputs",
        "Write or update README.md of a model's folder: the metadata that Hugging Face reads, with figures "
        "of reports of 'evaluate', and inputs, outputs and digest of the model. Your own text stays.",
        (
            "modelservice model card spam --license apache-2.0 --report evaluation/report.json",
            "modelservice model card spam --print",
        ),
        packages=PACKAGING,
    ),
    Command(
        "package",
        "make an OCI artifact or an image of a model's folder, without a registry",
        "Make an OCI artifact (ModelPack) or a container image of a model's folder: the model, its external "
        "data, tokenizer, proof, card and licence. The same files give the same digest, on every machine. "
        "With --output it is written as an OCI image layout.",
        (
            "modelservice model package spam",
            "modelservice model package spam --as image --output spam.tar",
        ),
        packages=PACKAGING,
    ),
    Command(
        "push",
        "push a model's folder to a registry, and write the YAML that serves it",
        "Push a model's folder, or a layout of 'package', to a registry: what it has is not sent again. "
        "With --yaml the ModelService that serves it is written, by digest; one that is there is updated.",
        (
            "modelservice model push spam registry.example.com/models/spam:1",
            "modelservice model push spam registry.example.com/models/spam:1 --yaml spam.yaml -n mail",
        ),
        packages=PACKAGING,
    ),
    Command(
        "pull",
        "pull the files of an artifact into a new folder",
        "Pull the files of an artifact or image from a registry, or out of a layout, into a new folder. "
        "Digests are checked; the folder is there when all files are.",
        ("modelservice model pull registry.example.com/models/spam:1 spam",),
        packages=PACKAGING,
    ),
    Command(
        "inspect",
        "show what an artifact holds",
        "Show what an artifact in a registry, a layout or a folder holds: files, digests, card and licence. "
        "Weights are not downloaded.",
        ("modelservice model inspect registry.example.com/models/spam:1", "modelservice model inspect spam"),
        packages=PACKAGING,
    ),
    Command(
        "diff",
        "show what two artifacts differ in",
        "Show what two artifacts, in registries, layouts or folders, differ in: files, inputs and outputs, "
        "figures, licence.",
        ("modelservice model diff registry.example.com/models/spam:1 spam",),
        packages=PACKAGING,
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
