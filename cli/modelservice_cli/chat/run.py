"""Runs `modelservice chat`: reads lines, and prints answers as they come."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from modelservice_cli.chat.client import ChatClient
from modelservice_cli.chat.reach import reach
from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.report import printable
from modelservice_pipeline.errors import PipelineError

# Line ends, spaces that do not break, and what joins the parts of emoji and of letters.
_HARMLESS = "\n\t\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"


def run(arguments: argparse.Namespace) -> int:
    """Talk until the input ends; returns the exit code. Raises CommandError."""
    try:
        client = reach(arguments)
        options: dict[str, Any] = {"model": arguments.model or _only_model(client)}
        if arguments.max_tokens is not None:
            options["max_tokens"] = arguments.max_tokens
        if arguments.temperature is not None:
            options["temperature"] = arguments.temperature
        system = [{"role": "system", "content": arguments.system}] if arguments.system else []
        talk(client, options, system, _questions(options["model"]), sys.stdout)
    except PipelineError as error:  # of keys and certificates, which are read as they are needed
        raise CommandError(str(error)) from None
    return 0


def talk(
    client: ChatClient,
    options: dict[str, Any],
    messages: list[dict[str, str]],
    questions: Iterable[str],
    out: TextIO,
) -> None:
    """Ask each question with all that was said before. Ctrl-C ends an answer, and the talk goes on.

    What fails ends the talk only where nobody types: who does may ask again. Raises CommandError then.
    """
    for question in questions:
        asked = [*messages, {"role": "user", "content": question}]
        answer = ""
        try:
            for piece in client.answer({**options, "messages": asked}):
                answer += piece
                print(shown(piece), end="", flush=True, file=out)
        except KeyboardInterrupt:
            pass
        except CommandError as error:
            if not sys.stdin.isatty():
                raise
            print(printable(f"modelservice: {error}"), file=sys.stderr)
        print(file=out, flush=True)
        messages = [*asked, {"role": "assistant", "content": answer}] if answer else messages


def shown(text: str) -> str:
    """What a model says without what a terminal would take as a command."""
    return "".join(one if one.isprintable() or one in _HARMLESS else printable(one) for one in text)


def _questions(model: str) -> Iterator[str]:
    """Lines of the input; with a prompt where somebody types."""
    is_typed = sys.stdin.isatty()
    if is_typed:
        print(f"Talking to {printable(model)}. Ctrl-C ends an answer, Ctrl-D the talk.")
    while True:
        try:
            line = input("> " if is_typed else "")
        except (EOFError, KeyboardInterrupt):
            return
        if line.strip():
            yield line


def _only_model(client: ChatClient) -> str:
    models = client.models()
    if not models:
        raise CommandError(
            "the server has no model that generates text: one with genai_config.json beside its graph, and "
            "spec.generation in its ModelService"
        )
    own = [name for name, is_adapter in models.items() if not is_adapter] or list(models)
    if len(own) > 1:
        raise CommandError(f"which model? --model takes one of {', '.join(models)}")
    return own[0]
