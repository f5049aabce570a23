"""The init container `fetch`: arguments in, model files and a termination message out."""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from modelservice_runtime.fetch.adapters import (
    AdapterRequest,
    add_adapter_arguments,
    build_adapter_requests,
    fetch_adapter,
)
from modelservice_runtime.fetch.errors import FetchError, FetchReason, OutOfTimeError
from modelservice_runtime.fetch.fetcher import Decryption, FetchRequest, FetchResult, fetch_model_async
from modelservice_runtime.fetch.files.cache import ModelCache
from modelservice_runtime.fetch.http.addresses import AddressPolicy
from modelservice_runtime.fetch.http.client import resolve_endpoint
from modelservice_runtime.fetch.limits import TransferLimits
from modelservice_runtime.fetch.log import LOGGER, log, make_handler
from modelservice_runtime.fetch.names import clean_path
from modelservice_runtime.fetch.redaction import redact_url

_DEFAULT_MAX_BYTES = 10 * 1024**3
_DEFAULT_CACHE_BYTES = 50 * 1024**3
# Kubernetes reads 4096 bytes of a termination message; the operator shows the first 1000 characters.
_MAX_MESSAGE_LENGTH = 1000


def run(argv: Sequence[str]) -> int:
    """Run the fetcher.

    Args:
        argv: arguments after the subcommand.

    Returns:
        0 with the reason `Fetched` in the termination message, 1 with the reason of the failure.

    """
    arguments = build_parser().parse_args(argv)
    request = build_request(arguments)
    adapters = build_adapter_requests(arguments, request)
    handler = make_handler(request.redactor)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    try:
        return _run_request(request, adapters, arguments.termination_log)
    finally:
        LOGGER.removeHandler(handler)


def build_parser() -> argparse.ArgumentParser:
    """The command line of `fetch`."""
    parser = argparse.ArgumentParser(
        prog="modelservice_runtime fetch", description="Fetch a model into a directory."
    )
    parser.add_argument(
        "--uri",
        default="",
        help="oci://, s3://, gs://, az://, hf://, https://, http:// with --sha256; none where there are "
        "only adapters to fetch",
    )
    parser.add_argument(
        "--destination", type=Path, default=Path("/mnt/models"), help="directory for the files"
    )
    parser.add_argument(
        "--file", type=_file_name, help="fetch the file of this name, whatever is in it, and not the model"
    )
    parser.add_argument(
        "--with-proof",
        action="store_true",
        help="bring proof.json and proof.npz along, from beside the model",
    )
    parser.add_argument(
        "--generative",
        action="store_true",
        help="bring genai_config.json, tokenizer.json and, where they are there, tokenizer_config.json and "
        "chat_template.jinja along, from beside a model that generates text",
    )
    parser.add_argument(
        "--max-bytes", type=_positive_int, default=_DEFAULT_MAX_BYTES, help="most bytes to store"
    )
    parser.add_argument("--sha256", help="digest of the ONNX file as it is stored, 64 hex digits")
    parser.add_argument(
        "--decryption-dir", type=Path, help="directory with the private keys that decrypt the files (age)"
    )
    parser.add_argument(
        "--scratch-dir",
        type=Path,
        default=Path("/mnt/encrypted"),
        help="with --decryption-dir: directory for encrypted files on their way (default: %(default)s)",
    )
    parser.add_argument(
        "--credentials-dir", type=Path, help="directory with the keys of the credentials Secret"
    )
    parser.add_argument(
        "--cache-dir", type=Path, help="directory shared with other fetches, for files of known digest"
    )
    parser.add_argument(
        "--cache-max-bytes",
        type=_positive_int,
        default=_DEFAULT_CACHE_BYTES,
        help="most bytes to keep there; the longest unused files go first (default: %(default)s)",
    )
    add_adapter_arguments(parser)
    parser.add_argument(
        "--verify-only", action="store_true", help="check a file:// inside --destination in place"
    )
    parser.add_argument(
        "--pod-identity", action="store_true", help="ask Google's metadata server for a token (gs://)"
    )
    parser.add_argument("--timeout-seconds", type=_positive_int, default=3600, help="for the whole fetch")
    parser.add_argument(
        "--deny-private-addresses", action="store_true", help="connect to public addresses only"
    )
    parser.add_argument(
        "--allow-loopback-addresses", action="store_true", help="for trying it on one machine"
    )
    parser.add_argument(
        "--termination-log", type=Path, default=Path("/dev/termination-log"), help="file for the result"
    )
    return parser


def build_request(arguments: argparse.Namespace) -> FetchRequest:
    """Turn arguments and Kubernetes' own environment variables into a request."""
    api_server = resolve_endpoint(
        os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "")
    )
    return FetchRequest(
        uri=arguments.uri,
        destination=arguments.destination,
        max_bytes=arguments.max_bytes,
        sha256=arguments.sha256,
        decryption=arguments.decryption_dir and Decryption(arguments.decryption_dir, arguments.scratch_dir),
        credentials_directory=arguments.credentials_dir,
        allow_file=arguments.verify_only,
        file_root=arguments.destination,
        addresses=AddressPolicy(
            allow_private=not arguments.deny_private_addresses,
            allow_loopback=arguments.allow_loopback_addresses,
            forbidden_endpoints=api_server,
        ),
        file=arguments.file,
        with_proof=arguments.with_proof,
        generative=arguments.generative,
        cache=arguments.cache_dir and ModelCache(arguments.cache_dir, arguments.cache_max_bytes),
        environment=os.environ,
        use_pod_identity=arguments.pod_identity,
        limits=TransferLimits(total_timeout_seconds=arguments.timeout_seconds),
    )


def write_termination_message(path: Path, text: str) -> None:
    """Write `text` where Kubernetes reads it; outside a container there is no such file."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_TRUNC), "w") as file:
            file.write(text)
    except OSError as error:
        log("no termination message written", {"path": str(path), "error": error.strerror}, logging.DEBUG)


class _StoppedError(FetchError):
    """SIGTERM came first."""

    def __init__(self) -> None:
        super().__init__(FetchReason.DOWNLOAD_FAILED, "the fetch was stopped before it was finished")


def _run_request(request: FetchRequest, adapters: Sequence[AdapterRequest], termination_log: Path) -> int:
    runner = asyncio.Runner()
    try:
        result = runner.run(_fetch_until_signalled(request, adapters))
    except FetchError as error:
        _tell(request, _failure(error.reason, error.message), termination_log)
        if isinstance(error, _StoppedError | OutOfTimeError):
            # A thread may wait for a name server or a disk for as long as these like, or be decrypting;
            # closing would wait too.
            os._exit(1)
        code = 1
    else:
        _tell(request, _success(request, adapters, result), termination_log)
        code = 0
    runner.close()
    return code


def _tell(request: FetchRequest, outcome: dict[str, str | int], termination_log: Path) -> None:
    level = logging.INFO if outcome["reason"] == FetchReason.FETCHED else logging.ERROR
    log("result", outcome, level)
    write_termination_message(termination_log, request.redactor.clean(json.dumps(outcome)))


async def _fetch_until_signalled(
    request: FetchRequest, adapters: Sequence[AdapterRequest]
) -> FetchResult | None:
    """Fetch, but end cleanly on SIGTERM: a container's first process does not die of it by itself."""
    task = asyncio.ensure_future(_fetch_all(request, adapters))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError as error:
        raise _StoppedError from error


async def _fetch_all(request: FetchRequest, adapters: Sequence[AdapterRequest]) -> FetchResult | None:
    """The model, where one is wanted, and its adapters."""
    result = await fetch_model_async(request) if request.uri or not adapters else None
    for adapter in adapters:
        await fetch_adapter(adapter)
    return result


def _success(
    request: FetchRequest, adapters: Sequence[AdapterRequest], result: FetchResult | None
) -> dict[str, str | int]:
    beside = f"{len(adapters)} {'adapter' if len(adapters) == 1 else 'adapters'}"
    if result is None:
        return {"reason": str(FetchReason.FETCHED), "message": beside, "sha256": "", "sizeBytes": 0}
    files = "1 file" if result.file_count == 1 else f"{result.file_count} files"
    at = f" at commit {result.commit}" if result.commit else ""
    message = f"{files}, {result.size_bytes} bytes from {redact_url(request.uri)}{at}"
    message += f"; {beside}" if adapters else ""
    outcome: dict[str, str | int] = {
        "reason": str(FetchReason.FETCHED),
        "message": message[:_MAX_MESSAGE_LENGTH],
        "sha256": result.sha256,
        "sizeBytes": result.size_bytes,
    }
    return {**outcome, "commit": result.commit} if result.commit else outcome


def _failure(reason: FetchReason, message: str) -> dict[str, str | int]:
    return {"reason": str(reason), "message": message[:_MAX_MESSAGE_LENGTH], "sha256": "", "sizeBytes": 0}


def _file_name(text: str) -> str:
    if clean_path(text) != text or "/" in text or text.startswith("."):
        raise argparse.ArgumentTypeError("must be a file's name, without a folder")
    return text


def _positive_int(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be greater than 0")
    return value


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
