"""From what a command line names to a server of OpenAI's API: by its URL, or by way of a cluster."""

import argparse
from collections.abc import Callable, Mapping

from modelservice_cli.chat.client import ChatClient
from modelservice_cli.packages import check_cluster_packages
from modelservice_pipeline.predict.arguments import (
    check_service_arguments,
    is_service_name,
    make_headers,
    read_tls,
)

_KEY = "X-Api-Key"
_MODELS = "/v2/models/"


def reach(arguments: argparse.Namespace) -> ChatClient:
    """Return a client of `target`. Raises CommandError, PipelineError."""
    headers = make_headers(arguments)
    if is_service_name(arguments.target):
        return _reach_service(arguments, headers)
    return ChatClient(arguments.target, lambda: _as_bearer(headers()), read_tls(arguments))


def _as_bearer(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Servers of OpenAI's API look for keys where OpenAI does."""
    others = {name: value for name, value in headers.items() if name != _KEY}
    return {"Authorization": f"Bearer {headers[_KEY]}", **others} if _KEY in headers else others


def _reach_service(arguments: argparse.Namespace, headers: Callable[[], Mapping[str, str]]) -> ChatClient:
    """`Authorization` is for the API server, so the key stays in a header of its own."""
    check_service_arguments(arguments)
    check_cluster_packages()
    # Imported here: the package `kubernetes` takes a second, and a URL needs none of it.
    from modelservice_cli.rollout.cluster.proxy import reach_service

    reached = reach_service(arguments, arguments.target)
    base = reached.url.rpartition(_MODELS)[0]
    return ChatClient(base, lambda: {**headers(), **reached.headers()}, reached.tls)
