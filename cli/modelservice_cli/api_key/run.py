"""What the verbs of `api-key` do."""

import argparse
import sys
from collections.abc import Callable
from typing import Protocol

from modelservice_cli.api_key.key_file import KeyFile
from modelservice_cli.errors import CommandError
from modelservice_cli.packages import check_cluster_packages
from modelservice_runtime.auth.api_keys import ApiKeys, api_key_line, new_api_key, parse_api_keys
from modelservice_runtime.errors import InvalidSettingsError

# Enough to tell two keys apart.
_SHOWN_DIGITS = 12


class KeyStore(Protocol):
    """Where lines of keys are kept. Every method may raise CommandError."""

    name: str
    """As sentences call it."""

    def read(self) -> str | None:
        """The lines; None where there is nothing yet."""

    def edit(self, change: Callable[[str | None], str]) -> None:
        """Write what `change` makes of the lines; it may be asked again where others write too."""


def run(arguments: argparse.Namespace) -> int:
    """Run one verb; returns the exit code. Raises CommandError or InvalidSettingsError."""
    store = _find_store(arguments)
    if arguments.api_key_command == "list":
        assert store is not None
        return _list(store)
    if arguments.api_key_command == "revoke":
        assert store is not None
        return _revoke(store, arguments.name)
    return _new(store, arguments.name)


def _find_store(arguments: argparse.Namespace) -> KeyStore | None:
    if arguments.file is not None:
        return KeyFile(arguments.file)
    if arguments.secret is None:
        return None
    check_cluster_packages()
    # Imported here: the package `kubernetes` takes a second.
    from modelservice_cli.api_key.key_secret import KeySecret
    from modelservice_cli.rollout.cluster.api import Cluster
    from modelservice_cli.rollout.cluster.kubeconfig import find_access

    access = find_access(getattr(arguments, "kubeconfig", None), getattr(arguments, "context", None))
    namespace = getattr(arguments, "namespace", None) or access.namespace
    return KeySecret(Cluster(access), namespace, arguments.secret)


def _new(store: KeyStore | None, name: str) -> int:
    key = new_api_key()
    line = api_key_line(name, key)
    if store is None:
        print(f"key:  {key}\nline: {line}")
        return 0

    def add(text: str | None) -> str:
        if name in _parse(store, text or "").digests:
            raise CommandError(f"{store.name} has a key of {name!r} already: revoke it, or take another name")
        separator = "\n" if text and not text.endswith("\n") else ""
        return f"{text or ''}{separator}{line}\n"

    store.edit(add)
    print(key)
    return 0


def _list(store: KeyStore) -> int:
    text = store.read()
    if text is None:
        raise CommandError(f"{store.name} has no keys; 'modelservice api-key new NAME' makes one")
    for name, digest in _parse(store, text).digests.items():
        print(f"{name}  sha256:{digest.hex()[:_SHOWN_DIGITS]}...")
    return 0


def _revoke(store: KeyStore, name: str) -> int:
    left = 0

    def remove(text: str | None) -> str:
        nonlocal left
        known = _parse(store, text or "").digests
        if name not in known:
            raise CommandError(f"{store.name} has no key of {name!r}; it has {', '.join(known) or 'none'}")
        left = len(known) - 1
        lines = (text or "").splitlines(keepends=True)
        return "".join(line for line in lines if line.strip().partition(":")[0] != name)

    store.edit(remove)
    if not left:
        print(
            "modelservice: no key is left: servers let nobody in by one, and none starts without one",
            file=sys.stderr,
        )
    return 0


def _parse(store: KeyStore, text: str) -> ApiKeys:
    """The keys that a server would read."""
    try:
        return parse_api_keys(text)
    except InvalidSettingsError as error:
        raise CommandError(f"{store.name}: {error.sentence}") from None
