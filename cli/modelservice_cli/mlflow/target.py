"""What MLflow says of a deployment, as flags of `modelservice model deploy`."""

import argparse
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from modelservice_cli.deploy.command import add_arguments
from modelservice_cli.errors import CommandError
from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.settings.serve import SettingsParser

SCHEME = "modelservice"
HELP = """\
Serves models in a Kubernetes cluster as ModelServices: -t modelservice://NAMESPACE, or -t modelservice for
the namespace of the kubeconfig's context.

-C NAME=VALUE takes the flags of 'modelservice model deploy' by their names. registry (where models are
pushed, such as registry.example.com/models) is needed; others are replicas, pull-secret, cluster-registry,
plain-http, registry-ca, context, timeout and no-wait. A flag without a value is NAME=true.
"""
_OWN = ("name", "namespace", "dry-run", "output-yaml", "output")
"""Flags that MLflow's own arguments say, and those that apply nothing."""


def parse_namespace(target: str) -> str | None:
    """Return the namespace of a target; None for that of the context. Raises CommandError."""
    parts = urlsplit(target)
    namespace = (parts.netloc + parts.path).strip("/")
    if target == SCHEME:
        return None
    if parts.scheme != SCHEME or not namespace or "/" in namespace or parts.query:
        raise CommandError(f"{target!r} is no target: expected modelservice://NAMESPACE")
    return namespace


def parse_config(
    model: str, name: str | None, namespace: str | None, config: Mapping[str, Any] | None
) -> argparse.Namespace:
    """Return the arguments of `deploy`. Raises CommandError for what is none of its flags."""
    argv = [model, *(["--name", name] if name else []), *(["--namespace", namespace] if namespace else [])]
    for key, value in (config or {}).items():
        flag = str(key).replace("_", "-")
        if flag in _OWN:
            raise CommandError(f"{key} is not taken here: MLflow's own arguments say it")
        if str(value).lower() != "false":
            argv += [f"--{flag}"] if str(value).lower() == "true" else [f"--{flag}={value}"]
    parser = SettingsParser(prog="modelservice model deploy", allow_abbrev=False, add_help=False)
    add_arguments(parser)
    try:
        return parser.parse_args(argv)
    except InvalidSettingsError as error:
        raise CommandError(f"-C: {error.args[0]}") from None
