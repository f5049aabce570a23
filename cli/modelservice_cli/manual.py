"""What `--help` says of each command beside its flags: what it does, examples, exit codes. Only words."""

import argparse
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from modelservice_cli.model import STEPS

Path = tuple[str, ...]
"""The words of a command: `("rollout", "status")`; none for the program itself."""


class Page(NamedTuple):
    """What is said of one command."""

    examples: tuple[str, ...]
    """Each with the program's name in front, as one types them."""
    description: str = ""
    """Where the parser itself has none."""
    codes: tuple[tuple[int, str], ...] = ()
    """Exit codes that only this command has."""


CODES = ((0, "it was done"), (1, "it failed, and said why"), (2, "wrong usage"))
ON_CLUSTER = ((130, "ended by Ctrl-C"),)
FOLLOWING = (
    (0, "it was done; with -w: the change is complete"),
    (1, "it failed; with -w: the change was given up or cannot go on"),
    (124, "with -w: it still goes on after --timeout"),
    *ON_CLUSTER,
)

FLEET = (
    (0, "it was done; with -w: it is complete, or has ended as was asked"),
    (1, "it failed; with -w: it was halted, taken back, aborted or superseded"),
    (124, "with -w: it still goes on after --timeout"),
    *ON_CLUSTER,
)

PAGES: dict[Path, Page] = {
    (): Page(
        (
            "modelservice serve --model spam=model.onnx",
            "modelservice rollout status spam -w",
            "modelservice top",
        )
    ),
    ("serve",): Page(
        (
            "modelservice serve --model spam=model.onnx",
            "modelservice serve --model spam=models/spam --model ham=ham.onnx --http-port 9090",
            "modelservice serve -f modelservice.yaml --model model.onnx",
        )
    ),
    ("api-key",): Page(
        ("modelservice api-key new alice --secret spam-keys -n mail",),
        "Make and revoke the keys that clients of a server need.",
    ),
    ("api-key", "new"): Page(
        (
            "modelservice api-key new alice",
            "modelservice api-key new alice --file keys.txt",
            "modelservice api-key new alice --secret spam-keys -n mail",
        )
    ),
    ("api-key", "list"): Page(
        ("modelservice api-key list --secret spam-keys -n mail",),
        "Show whose keys there are.",
    ),
    ("api-key", "revoke"): Page(
        ("modelservice api-key revoke alice --secret spam-keys -n mail",),
        "Take a key away. Servers that run refuse it once they have read the file or the Secret again.",
    ),
    ("chat",): Page(
        (
            "modelservice chat http://127.0.0.1:8080",
            "modelservice chat https://models.example.org --model chat --api-key-file key.txt",
            "echo 'Say hello.' | modelservice chat http://127.0.0.1:8080 --temperature 0",
        )
    ),
    ("encrypt",): Page(
        (
            "modelservice encrypt --new-key --key-file key.txt",
            "modelservice encrypt model.onnx --key-file key.txt --output encrypted",
        )
    ),
    ("runtime",): Page(
        ("modelservice runtime info",),
        "Show what the runtime finds on this machine, and what a model asks for.",
    ),
    ("runtime", "info"): Page(
        ("modelservice runtime info", "modelservice runtime info --model model.onnx --json"),
        "Show versions, execution providers and CPU features; with --model also the inputs and outputs of a "
        "model, and how fast it runs here.",
    ),
    ("rollout",): Page(
        ("modelservice rollout status spam -n mail", "modelservice rollout undo spam --dry-run"),
        codes=ON_CLUSTER,
    ),
    ("rollout", "status"): Page(
        (
            "modelservice rollout status spam",
            "modelservice rollout status spam -w --timeout 10m",
            "modelservice rollout status spam -o json",
        ),
        codes=FOLLOWING,
    ),
    ("rollout", "history"): Page(("modelservice rollout history spam -n mail",), codes=ON_CLUSTER),
    ("rollout", "diff"): Page(
        ("modelservice rollout diff spam", "modelservice rollout diff spam 3 4"), codes=ON_CLUSTER
    ),
    ("rollout", "undo"): Page(
        ("modelservice rollout undo spam --dry-run", "modelservice rollout undo spam --to-revision 3"),
        codes=ON_CLUSTER,
    ),
    ("rollout", "promote"): Page(("modelservice rollout promote spam -w",), codes=FOLLOWING),
    ("rollout", "pause"): Page(("modelservice rollout pause spam",), codes=FOLLOWING),
    ("rollout", "resume"): Page(("modelservice rollout resume spam -w --until-paused",), codes=FOLLOWING),
    ("rollout", "abort"): Page(("modelservice rollout abort spam -w",), codes=FOLLOWING),
    ("rollout", "retry"): Page(("modelservice rollout retry spam -w --timeout 10m",), codes=FOLLOWING),
    ("rollout", "update-runtime"): Page(("modelservice rollout update-runtime spam -w",), codes=FOLLOWING),
    ("fleet",): Page(
        ("modelservice fleet plan -f rollout.yaml", "modelservice fleet status onnx-1-24 -w"),
        codes=ON_CLUSTER,
    ),
    ("fleet", "approve"): Page(
        ("modelservice fleet approve onnx-1-24 -w", "modelservice fleet approve onnx-1-24 --wave rest"),
        codes=FLEET,
    ),
    ("fleet", "pause"): Page(("modelservice fleet pause onnx-1-24",), codes=FLEET),
    ("fleet", "resume"): Page(("modelservice fleet resume onnx-1-24 -w --until-paused",), codes=FLEET),
    ("fleet", "abort"): Page(("modelservice fleet abort onnx-1-24",), codes=FLEET),
    ("fleet", "rollback"): Page(("modelservice fleet rollback onnx-1-24 -w",), codes=FLEET),
    ("fleet", "plan"): Page(
        ("modelservice fleet plan -f rollout.yaml", "modelservice fleet plan onnx-1-24 -o json"),
        codes=ON_CLUSTER,
    ),
    ("fleet", "status"): Page(
        (
            "modelservice fleet status onnx-1-24",
            "modelservice fleet status onnx-1-24 -w --until-paused --timeout 2h",
            "modelservice fleet status onnx-1-24 -o json",
        ),
        codes=FLEET,
    ),
    ("top",): Page(
        ("modelservice top", "modelservice top spam -n mail --interval 2", "modelservice top --json"),
        codes=ON_CLUSTER,
    ),
    ("model",): Page(tuple(command.examples[0] for command in STEPS)),
    **{
        ("model", command.name): Page(command.examples, command.description, command.codes)
        for command in STEPS
    },
    ("version",): Page(("modelservice version",), "Print the version."),
    ("completion",): Page(
        (
            'eval "$(modelservice completion bash)"',
            "modelservice completion zsh > ~/.zfunc/_modelservice",
            "modelservice completion fish > ~/.config/fish/completions/modelservice.fish",
        )
    ),
}


class _Formatter(argparse.HelpFormatter):
    """Fills paragraphs, and leaves alone the lines that are indented."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = text.split("\n\n")
        return "\n\n".join(
            part if any(line.startswith("  ") for line in part.splitlines())
            else super(_Formatter, self)._fill_text(part, width, indent)
            for part in parts
        )  # fmt: skip


def write_manual(parser: argparse.ArgumentParser, program: str) -> None:
    """Give a parser and all below it what the pages say; `program` is what stands in front in examples."""
    commands = dict(commands_of(parser))
    for path, command in commands.items():
        page = PAGES[path]
        command.formatter_class = _Formatter
        command.description = command.description or page.description
        # A program may have fewer commands than another.
        shown = [one for one in page.examples if (one.split()[1],) in commands]
        command.epilog = _epilog(page._replace(examples=tuple(shown)), program)


def commands_of(
    parser: argparse.ArgumentParser, path: Path = ()
) -> Iterator[tuple[Path, argparse.ArgumentParser]]:
    """Yield a parser and every command below it with its words."""
    yield path, parser
    for action in parser._actions:  # argparse offers no other way to its subcommands
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from commands_of(command, (*path, name))


def _epilog(page: Page, program: str) -> str:
    examples = [example.replace("modelservice", program, 1) for example in page.examples]
    codes = dict(CODES) | dict(page.codes)
    lines = [f"{code:<5}{meaning}" for code, meaning in sorted(codes.items())]
    return "\n\n".join(
        (
            "Examples:\n" + textwrap.indent("\n".join(examples), "  "),
            "Exit codes:\n" + textwrap.indent("\n".join(lines), "  "),
        )
    )
