"""`modelservice api-key`: makes keys for `serve --api-key-file`."""

import argparse
import os
from pathlib import Path

from modelservice_cli.errors import CommandError
from modelservice_runtime.auth.api_keys import api_key_line, new_api_key, parse_api_keys
from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.settings.serve import SettingsParser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(
        dest="api_key_command", metavar="COMMAND", parser_class=SettingsParser, required=True
    )
    new = commands.add_parser(
        "new",
        help="make a key",
        description="Make a random key. The key goes to its client and is kept nowhere; the server gets a "
        "line with its hash.",
        allow_abbrev=False,
    )
    new.add_argument("name", metavar="NAME", help="whose key it is; one name, one key")
    new.add_argument(
        "--file", type=Path, metavar="FILE", help="append the line to this key file and print only the key"
    )


def run(arguments: argparse.Namespace) -> int:
    """Make a key; returns the exit code. Raises CommandError or InvalidSettingsError."""
    key = new_api_key()
    line = api_key_line(arguments.name, key)
    if arguments.file is None:
        print(f"key:  {key}\nline: {line}")
        return 0
    _append(arguments.file, line)
    print(key)
    return 0


def _append(path: Path, line: str) -> None:
    """Add `line`; the file must be one that a server would read afterwards."""
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text and not text.endswith("\n"):
            text += "\n"
        parse_api_keys(text + line)
        # Replaced as a whole: a server that looks at it meanwhile never reads half a line.
        written = path.with_name(path.name + ".new")
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{text}{line}\n")
        written.replace(path)
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CommandError(f"cannot write {path}: {cause}") from None
    except InvalidSettingsError as error:
        raise CommandError(f"{path}: {error.args[0]}") from None
