"""Adapters of a model that generates text: a file each, fetched after the model and by the same rules.

An adapter `NAME/FILE=URI` is the file of this name in its source, and lies in the folder NAME then. One of a
mounted volume (`file://`) stays where it is; its digest is checked.
"""

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelservice_runtime.fetch.errors import FetchError, OutOfTimeError
from modelservice_runtime.fetch.fetcher import FetchRequest, FetchResult, fetch_model_async
from modelservice_runtime.fetch.names import clean_path

_DEFAULT_MAX_BYTES = 1024**3
# A file's name may have '=' in it, but no scheme behind that.
_ADAPTER = re.compile(r"(?P<name>[^/=]+)/(?P<file>[^/]+?)=(?P<uri>[A-Za-z0-9]+://.*)")


@dataclass(frozen=True)
class AdapterRequest:
    """An adapter by its name, and what to fetch."""

    name: str
    request: FetchRequest


def add_adapter_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""

    def add(flag: str, kind: Callable[[str], Any], metavar: str, text: str) -> None:
        parser.add_argument(flag, action="append", default=[], type=kind, metavar=metavar, help=text)

    add(
        "--adapter",
        _parse_adapter,
        "NAME/FILE=URI",
        "fetch an adapter too, the file FILE, into the folder NAME of --adapters-dir; file:// is checked in "
        "place; may be repeated",
    )
    add("--adapter-sha256", _parse_pair, "NAME=SHA256", "digest of an adapter's file, 64 hex digits")
    add("--adapter-max-bytes", _parse_pair, "NAME=N", "most bytes of an adapter (default: 1 GiB)")
    add("--adapter-credentials-dir", _parse_pair, "NAME=DIR", "directory with an adapter's credentials")
    parser.add_argument(
        "--adapters-dir",
        type=Path,
        default=Path("/mnt/adapters"),
        help="directory for adapters (default: %(default)s)",
    )
    parser.add_argument(
        "--adapter-volumes-dir",
        type=Path,
        default=Path("/mnt/adapter-volumes"),
        help="directory in which adapters of file:// lie (default: %(default)s)",
    )


def build_adapter_requests(arguments: argparse.Namespace, model: FetchRequest) -> list[AdapterRequest]:
    """The adapters that the flags name; what they leave open is as for the model."""
    digests, folders = dict(arguments.adapter_sha256), dict(arguments.adapter_credentials_dir)
    sizes = {name: int(text) for name, text in arguments.adapter_max_bytes}
    return [
        AdapterRequest(
            name,
            replace(
                model,
                uri=uri,
                destination=arguments.adapters_dir / name,
                file=file,
                sha256=digests.get(name),
                max_bytes=sizes.get(name, _DEFAULT_MAX_BYTES),
                credentials_directory=Path(folders[name]) if name in folders else None,
                allow_file=True,
                file_root=arguments.adapter_volumes_dir,
                decryption=None,
                with_proof=False,
                generative=False,
            ),
        )
        for name, file, uri in arguments.adapter
    ]


async def fetch_adapter(wanted: AdapterRequest) -> FetchResult:
    """Fetch one. Raises FetchError, whose message speaks of it and not of the model."""
    try:
        return await fetch_model_async(wanted.request)
    except FetchError as error:
        message = f"adapter {wanted.name!r}: {error.message.replace('spec.model.', 'its ')}"
        kind = OutOfTimeError if isinstance(error, OutOfTimeError) else FetchError
        raise kind(error.reason, message) from error


def _parse_adapter(text: str) -> tuple[str, str, str]:
    found = _ADAPTER.fullmatch(text)
    if found is None or any(clean_path(part) != part or part.startswith(".") for part in found.groups()[:2]):
        raise argparse.ArgumentTypeError(f"{text!r} must have the form NAME/FILE=URI")
    return found["name"], found["file"], found["uri"]


def _parse_pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name or not value:
        raise argparse.ArgumentTypeError(f"{text!r} must have the form NAME=VALUE")
    return name, value
