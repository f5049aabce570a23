"""Which cluster and namespace a command means: as kubectl finds them."""

import os
from dataclasses import dataclass
from pathlib import Path

import yaml
from kubernetes.client import Configuration
from kubernetes.config import (
    ConfigException,
    list_kube_config_contexts,
    load_incluster_config,
    load_kube_config,
)

from modelservice_cli.errors import CommandError

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_DEFAULT_PATH = Path("~/.kube/config")


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a cluster, and the namespace that is meant where none is named."""

    configuration: Configuration
    namespace: str


def find_access(kubeconfig: Path | None, context: str | None) -> Access:
    """Read the kubeconfig, or what a pod has. Raises CommandError."""
    configuration = Configuration()
    configuration.retries = 1
    # Read here: the package looks at the environment only when it is imported.
    named = str(kubeconfig or os.environ.get("KUBECONFIG") or "")
    files = named or str(_DEFAULT_PATH)
    if not named and not _any_exists(files) and _POD_NAMESPACE.exists():
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        return Access(configuration, _POD_NAMESPACE.read_text(encoding="ascii").strip())
    if not _any_exists(files):
        raise CommandError(
            f"no kubeconfig at {files}: name one with --kubeconfig FILE or the variable KUBECONFIG"
        )
    try:
        load_kube_config(  # type: ignore[no-untyped-call]
            files, context, client_configuration=configuration, persist_config=False
        )
        return Access(configuration, _namespace_of(files, context))
    # TypeError is what the package makes of a file that holds no mapping.
    except (ConfigException, OSError, TypeError, UnicodeDecodeError, yaml.YAMLError) as error:
        meant = f"context {context!r} of " if context else ""
        cause = " ".join(str(error).split())
        raise CommandError(f"cannot use {meant}the kubeconfig {files}: {cause}") from None


def _any_exists(files: str) -> bool:
    return any(Path(one).expanduser().exists() for one in files.split(os.pathsep))


def _namespace_of(files: str, context: str | None) -> str:
    contexts, current = list_kube_config_contexts(files)  # type: ignore[no-untyped-call]
    meant = next((one for one in contexts if one["name"] == context), current)
    return str(meant["context"].get("namespace") or "default")
