"""`modelservice encrypt`: encrypts a model and what is read beside it (age), and makes the keys for that."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelservice_cli.errors import CommandError
from modelservice_cli.packages import check_encryption_packages

if TYPE_CHECKING:
    from modelservice_runtime.fetch.age import Recipient


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("model", nargs="?", type=Path, metavar="MODEL", help="the ONNX file")
    parser.add_argument(
        "-r", "--recipient", action="append", default=[], metavar="KEY", help="a public key, as in age1..."
    )
    parser.add_argument(
        "--key-file", type=Path, metavar="FILE", help="file of keys, one a line: public ones, or private ones"
    )
    parser.add_argument(
        "--new-key",
        action="store_true",
        help="make a private key: into --key-file, which must not exist, or on standard output",
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where the encrypted files go (default: beside the model)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Make a key or encrypt a model; returns the exit code. Raises CommandError."""
    if arguments.new_key:
        if arguments.model is not None or arguments.recipient or arguments.output is not None:
            raise CommandError("--new-key makes a key and encrypts nothing: give --key-file alone with it")
        check_encryption_packages()
        return _make_key(arguments.key_file)
    if arguments.model is None:
        raise CommandError("give the MODEL to encrypt, or --new-key")
    if not arguments.recipient and arguments.key_file is None:
        raise CommandError(
            "for whom? give --recipient or --key-file; --new-key --key-file key.txt makes a key"
        )
    check_encryption_packages()
    return _encrypt(arguments.model, arguments.output, _read_recipients(arguments))


def _make_key(path: Path | None) -> int:
    from modelservice_runtime.fetch.age import new_identity

    private, public = new_identity()
    text = f"# public key: {public}\n{private}\n"
    if path is None:
        print(text, end="")
        return 0
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from None
    print(public)
    return 0


def _read_recipients(arguments: argparse.Namespace) -> "list[Recipient]":
    from modelservice_runtime.fetch.age import parse_identities, parse_recipient

    try:
        found = [parse_recipient(text) for text in arguments.recipient]
        for line in _key_lines(arguments.key_file):
            if line.startswith("AGE-SECRET-KEY-"):
                found += [identity.to_public() for identity in parse_identities(line)]
            else:
                found.append(parse_recipient(line))
    except ValueError as error:
        raise CommandError(f"not a key: {error}") from None
    if not found:
        raise CommandError(
            f"{arguments.key_file} has no key: expected age1... or AGE-SECRET-KEY-1..., one a line"
        )
    return found


def _key_lines(path: Path | None) -> Iterator[str]:
    if path is None:
        return
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CommandError(f"cannot read {path}: {cause}") from None
    yield from (line.strip() for line in lines if line.strip() and not line.strip().startswith("#"))


def _encrypt(model: Path, output: Path | None, recipients: "list[Recipient]") -> int:
    from modelservice_runtime.fetch.files.external_data import explain_no_model, find_external_files
    from modelservice_runtime.fetch.names import ENCRYPTED_SUFFIX

    try:
        why = explain_no_model(model) if model.stat().st_size else "it is empty"
        if why is not None:
            raise CommandError(f"{model} is not an ONNX model: {why}")
        folder = output or model.parent
        targets = {model: folder / f"{model.name}{ENCRYPTED_SUFFIX}"}
        for location in find_external_files(model):
            targets[model.parent / location] = folder / f"{location}{ENCRYPTED_SUFFIX}"
        for name, source in _find_beside(model).items():
            targets[source] = folder / f"{name}{ENCRYPTED_SUFFIX}"
        for target in targets.values():
            if target.exists():
                raise CommandError(f"{target} exists already: remove it, or give another --output")
        # The model last, as the fetcher does: where it is, the rest is too.
        for source, target in reversed(targets.items()):
            print(f"{_encrypt_file(source, target, recipients)}  {target}")
    except OSError as error:
        raise CommandError(f"cannot encrypt {error.filename or model}: {error.strerror or error}") from None
    return 0


def _find_beside(model: Path) -> dict[str, Path]:
    """What else is fetched with a model, by the names that it has beside it: the fetcher wants all encrypted.

    What lies in the folder above, as exporters leave a tokenizer, comes beside the model.
    """
    from modelservice_runtime.fetch.names import GENERATION_FILES, OPTIONAL_GENERATION_FILES, PROOF_FILES
    from modelservice_runtime.models.text_files import FURTHER_NAMES, TOKENIZER_NAME, text_folders

    names = {*PROOF_FILES, *GENERATION_FILES, *OPTIONAL_GENERATION_FILES}
    found = {name: model.parent / name for name in sorted(names)}
    for folder in text_folders(model.resolve().as_posix()):
        if (model.parent / folder / TOKENIZER_NAME).is_file():
            found |= {name: model.parent / folder / name for name in (TOKENIZER_NAME, *FURTHER_NAMES)}
            break
    return {name: path for name, path in found.items() if path.is_file()}


def _encrypt_file(source: Path, target: Path, recipients: "list[Any]") -> str:
    """Encrypt one file; returns the SHA-256 of what was written. Raises OSError."""
    from modelservice_runtime.fetch.age import encrypt
    from modelservice_runtime.fetch.files.destination import digest_stream

    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    try:
        with source.open("rb") as plain, partial.open("w+b") as sealed:
            encrypt(plain, sealed, recipients)
            sealed.flush()
            sealed.seek(0)
            digest = digest_stream(sealed)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return digest.sha256
