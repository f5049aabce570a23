"""The flags by which every command reaches a served model, and what they and a target open.

Nothing heavy is imported before something is opened: every command line is parsed by way of this module.
"""

import argparse
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.predict.tls_files import TlsFiles

if TYPE_CHECKING:
    from modelservice_pipeline.predict.constants import Given
    from modelservice_pipeline.predict.predictor import Predictor
    from modelservice_pipeline.predict.server import Access

TARGET_HELP = "an ONNX file, the URL of a served model, as http://HOST/v2/models/NAME, or a ModelService"
"""What an argument that `open_predictor` takes is."""
_WHITE = " \t\r\n"
_SERVICE_NAME = re.compile("[a-z]([-a-z0-9]{0,50}[a-z0-9])?")


@dataclass(frozen=True)
class Reached:
    """A ModelService of a cluster, as its API server leads to it.

    Attributes:
        url: Of the model.
        headers: Makes the headers that the API server wants.
        tls: The files by which it and we know each other.
    """

    url: str
    headers: Callable[[], Mapping[str, str]]
    tls: TlsFiles


Reach = Callable[[argparse.Namespace, str], Reached]
"""Finds a ModelService by its name; whoever runs commands may hand it in as `arguments.reach_service`."""


def add_endpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a served model may want of its clients: the same flags for every command."""
    group = add_identity_arguments(parser)
    group.add_argument(
        "--timeout",
        type=_positive_seconds,
        default=60.0,
        metavar="SECONDS",
        help="how long a request may take with all its tries; default: 60",
    )
    group.add_argument(
        "--concurrency",
        type=_positive,
        default=4,
        metavar="N",
        help="how many requests are sent at the same time; default: 4",
    )
    group.add_argument(
        "--rows-per-request",
        type=_positive,
        metavar="N",
        help="how many rows are asked at once at most; default: it is found out",
    )
    add_constant_argument(parser)
    add_cluster_arguments(parser)


def add_identity_arguments(parser: argparse.ArgumentParser) -> "argparse._ArgumentGroup":
    """Add how client and server know each other; `add_endpoint_arguments` adds them too."""
    group = parser.add_argument_group("served models")
    group.add_argument("--api-key-file", type=Path, metavar="FILE", help="the API key is in this file")
    group.add_argument("--api-key-env", metavar="NAME", help="the API key is in this environment variable")
    group.add_argument(
        "--token-file", type=Path, metavar="FILE", help="a bearer token is in this file, which may change"
    )
    group.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'", help="one more header; repeatable"
    )
    group.add_argument("--ca-file", type=Path, metavar="FILE", help="PEM file of the server's authority")
    group.add_argument("--client-cert", type=Path, metavar="FILE", help="PEM file of a client certificate")
    group.add_argument("--client-key", type=Path, metavar="FILE", help="PEM file with its key, not encrypted")
    return group


def add_constant_argument(parser: argparse.ArgumentParser) -> None:
    """Add the values of inputs that rows do not bring; `add_endpoint_arguments` adds them too."""
    parser.add_argument(
        "--constant",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="the value of an input that is the same for all rows: JSON, or @FILE.npy; repeatable",
    )


def read_constants(arguments: argparse.Namespace) -> "Given":
    """Return the values of flags, and those that a data set has beside its rows. Raises PipelineError."""
    from modelservice_pipeline.predict.constants import Given, parse_constant, read_single_values

    by_flags = dict(parse_constant(text) for text in arguments.constant)
    data = getattr(arguments, "data", None) or getattr(arguments, "background", None)
    return Given(by_flags, {} if data is None else read_single_values(data))


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which cluster and namespace a ModelService is in; `add_endpoint_arguments` adds them too."""
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "-n", "--namespace", metavar="NAMESPACE", help="of the ModelService; default: the context's"
    )
    group.add_argument("--context", metavar="CONTEXT", help="of the kubeconfig; default: its current one")
    group.add_argument(
        "--kubeconfig",
        type=Path,
        metavar="FILE",
        help="default: $KUBECONFIG, else ~/.kube/config, else the pod's own",
    )


def open_predictor(target: str, arguments: argparse.Namespace) -> "Predictor":
    """Open what `target` names: a URL, a file, or a ModelService. Raises PipelineError.

    `arguments` are those of a parser with `add_endpoint_arguments`.
    """
    if target.startswith(("http://", "https://")):
        from modelservice_pipeline.predict.endpoint import EndpointPredictor

        return EndpointPredictor(target, build_access(arguments), read_constants(arguments))
    path = Path(target)
    if not path.is_file():
        return _open_service(target, arguments)
    from modelservice_pipeline.model.session import OnnxModel
    from modelservice_pipeline.predict.file import FilePredictor

    return FilePredictor(OnnxModel(path), arguments.rows_per_request, read_constants(arguments))


def is_service_name(text: str) -> bool:
    """Return whether this may be the name of a ModelService."""
    return _SERVICE_NAME.fullmatch(text) is not None


def check_service_arguments(arguments: argparse.Namespace) -> None:
    """Refuse flags that are for URLs. Raises PipelineError."""
    if arguments.token_file or arguments.ca_file or arguments.client_cert:
        raise PipelineError(
            "a ModelService is asked through the API server, as whom the kubeconfig names: --token-file, "
            "--ca-file and --client-cert are for URLs"
        )


def _open_service(name: str, arguments: argparse.Namespace) -> "Predictor":
    reach: Reach | None = getattr(arguments, "reach_service", None)
    if reach is None or not is_service_name(name):
        raise PipelineError(f"{name!r} is no file, and no URL that begins with http:// or https://")
    check_service_arguments(arguments)
    from modelservice_pipeline.predict.endpoint import EndpointPredictor

    reached, access = reach(arguments, name), build_access(arguments)
    made = replace(access, headers=lambda: {**access.headers(), **reached.headers()}, tls=reached.tls)
    return EndpointPredictor(reached.url, made, read_constants(arguments))


def build_access(arguments: argparse.Namespace) -> "Access":
    """Return how servers are asked by these arguments. Raises PipelineError."""
    from modelservice_pipeline.predict.server import Access

    return Access(
        headers=make_headers(arguments),
        tls=read_tls(arguments),
        seconds=arguments.timeout,
        concurrency=arguments.concurrency,
        rows_at_once=arguments.rows_per_request,
    )


def read_tls(arguments: argparse.Namespace) -> TlsFiles:
    """Return the files of TLS by `add_identity_arguments`. Raises PipelineError."""
    if arguments.client_key and not arguments.client_cert:
        raise PipelineError("--client-key needs --client-cert")
    return TlsFiles(arguments.ca_file, arguments.client_cert, arguments.client_key)


def make_headers(arguments: argparse.Namespace) -> Callable[[], Mapping[str, str]]:
    """Return what makes headers by `add_identity_arguments`; a key is `X-Api-Key`. Raises PipelineError."""
    fixed = dict(_parse_header(text) for text in arguments.header)
    given = [flag for flag in ("api_key_file", "api_key_env") if getattr(arguments, flag)]
    if len(given) > 1:
        raise PipelineError("--api-key-file and --api-key-env exclude each other: give one of them")
    if arguments.api_key_file:
        fixed["X-Api-Key"] = _read_secret(arguments.api_key_file, "--api-key-file")
    if arguments.api_key_env:
        fixed["X-Api-Key"] = _read_variable(arguments.api_key_env)
    token_file = arguments.token_file
    if token_file is None:
        return lambda: fixed
    _read_secret(token_file, "--token-file")  # now, not after the first rows
    return lambda: {**fixed, "Authorization": f"Bearer {_read_secret(token_file, '--token-file')}"}


def _read_variable(name: str) -> str:
    value = os.environ.get(name, "").strip(_WHITE)
    if not value:
        raise PipelineError(f"--api-key-env: the variable {name} is not set")
    return _check_line(value, f"--api-key-env: the variable {name}")


def _read_secret(path: Path, flag: str) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip(_WHITE)
    except OSError as error:
        raise PipelineError(f"{flag}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PipelineError(f"{flag}: {path} is not a text") from None
    return _check_line(text, f"{flag}: {path}")


def _check_line(text: str, what: str) -> str:
    if not text or not (text.isascii() and text.isprintable()):
        raise PipelineError(f"{what} does not hold one line of printable ASCII")
    return text


def _parse_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    is_token = name.replace("-", "").replace("_", "").isalnum() and name.isascii()
    if not colon or not is_token or not (value.isascii() and value.isprintable()):
        raise PipelineError(f"--header {name!r}: expected 'NAME: VALUE'")
    return name, value


def _positive(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and 0 < int(text) <= 100_000):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def _positive_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"expected seconds, more than 0, at most a day; got {text!r}")
    return seconds
