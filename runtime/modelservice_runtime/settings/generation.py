"""What `serve` can be told about models that generate text; values and their flags."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.settings.argument_types import parse_bytes, parse_count, parse_duration

# A model's name as a request gives it, so what a model's own may be.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class AdapterSource:
    """A LoRA adapter of a model: the name by which requests ask for it, and its `.onnx_adapter` file."""

    model: str
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """None leaves the choice to the model and to the memory there is.

    `max_context_tokens`: prompt and completion of one text together. `prefill_chunk_tokens`: how much of a
    prompt is read between two steps; None follows measured times and `max_inter_token_seconds`.
    """

    max_sequences: int = 16
    max_context_tokens: int | None = None
    kv_cache_bytes: int | None = None
    prefill_chunk_tokens: int | None = None
    max_output_tokens: int | None = None
    max_queued_prompt_tokens: int = 32_768
    max_inter_token_seconds: float = 0.2
    keeps_prefixes: bool = True
    adapters: tuple[AdapterSource, ...] = ()


def add_generation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    _add_memory_arguments(parser)
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="NAME:ADAPTER=FILE",
        help="a LoRA adapter of the model NAME, an .onnx_adapter file; requests ask for it by 'model': "
        "'ADAPTER'; may be repeated",
    )
    parser.add_argument(
        "--prefill-chunk-tokens",
        type=_parse_chunk,
        metavar="auto|N",
        help="how much of a prompt is read between two tokens of the texts that are being generated; 'auto' "
        "follows measured times (default: auto)",
    )
    parser.add_argument(
        "--max-inter-token-milliseconds",
        type=_parse_target,
        default=200.0,
        metavar="M",
        help="time between two tokens of a text that reading others' prompts shall not exceed; it may while "
        "prompts wait (default: %(default)s)",
    )
    parser.add_argument(
        "--max-output-tokens",
        type=parse_count,
        metavar="N",
        help="most tokens of one completion (default: what the context leaves)",
    )
    parser.add_argument(
        "--max-queued-prompt-tokens",
        type=parse_count,
        default=32_768,
        metavar="N",
        help="tokens of all prompts that wait before others get 429 (default: %(default)s)",
    )
    parser.add_argument(
        "--prefix-cache",
        choices=("on", "off"),
        default="on",
        help="whether a prompt that begins like an earlier one of the same caller is read from there on only "
        "(default: %(default)s)",
    )


def build_generation_settings(arguments: argparse.Namespace, models: Sequence[str]) -> GenerationSettings:
    """Settings from parsed flags, for models of these names. Raises InvalidSettingsError."""
    return GenerationSettings(
        max_sequences=arguments.max_sequences,
        max_context_tokens=arguments.max_context_tokens,
        kv_cache_bytes=arguments.kv_cache_bytes,
        prefill_chunk_tokens=arguments.prefill_chunk_tokens,
        max_output_tokens=arguments.max_output_tokens,
        max_queued_prompt_tokens=arguments.max_queued_prompt_tokens,
        max_inter_token_seconds=arguments.max_inter_token_milliseconds / 1000,
        keeps_prefixes=arguments.prefix_cache == "on",
        adapters=_parse_adapters(arguments.adapter, models),
    )


def _parse_adapters(texts: Sequence[str], models: Sequence[str]) -> tuple[AdapterSource, ...]:
    """The adapters; each name, of a model or an adapter, leads to one of them."""
    taken, adapters = set(models), []
    for text in texts:
        target, _, path = text.partition("=")
        model, _, name = target.partition(":")
        if not path or not _NAME.fullmatch(name):
            raise InvalidSettingsError(f"--adapter {text!r} must have the form NAME:ADAPTER=FILE")
        if model not in models:
            raise InvalidSettingsError(f"--adapter {text!r} names a model that no --model gives")
        if name in taken:
            raise InvalidSettingsError(
                f"--adapter: the name {name!r} is used twice; models and adapters need names of their own"
            )
        taken.add(name)
        adapters.append(AdapterSource(model, name, Path(path)))
    return tuple(adapters)


def _add_memory_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-sequences",
        type=_parse_sequences,
        default=16,
        metavar="N",
        help="texts that a model generates at the same time (default: %(default)s)",
    )
    parser.add_argument(
        "--max-context-tokens",
        type=parse_count,
        metavar="N",
        help="tokens of one text, prompt and completion together; each of --max-sequences has memory for so "
        "many (default: the model's own number, at most 4096, less where memory is short)",
    )
    parser.add_argument(
        "--kv-cache-bytes",
        type=parse_bytes,
        metavar="SIZE",
        help="memory for the keys and values of all texts, such as 2Gi (default: what --max-context-tokens "
        "needs, or half of what the weights leave)",
    )


def _parse_sequences(text: str) -> int:
    count = parse_count(text)
    if count > 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1024")
    return count


def _parse_chunk(text: str) -> int | None:
    return None if text == "auto" else parse_count(text)


def _parse_target(text: str) -> float:
    milliseconds = parse_duration(text)
    if not milliseconds:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time of more than 0")
    return milliseconds
