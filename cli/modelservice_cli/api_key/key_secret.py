"""Lines of keys in a Secret, under the key that pods mount; nothing else of the Secret is touched."""

import base64
import binascii
from collections.abc import Callable

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.cluster.api import Cluster, Object
from modelservice_cli.rollout.cluster.errors import ChangedMeanwhileError
from modelservice_operator.facts.access_files import API_KEYS

# Several people may make keys at once; each try of ours begins with what the last one wrote.
_TRIES = 10


class KeySecret:
    """See `KeyStore`."""

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._secret = name
        self.name = f"Secret {name!r} of namespace {namespace!r}"

    def read(self) -> str | None:
        """See `KeyStore`."""
        secret = self._cluster.read_secret(self._namespace, self._secret)
        return None if secret is None else self._lines(secret)

    def edit(self, change: Callable[[str | None], str]) -> None:
        """See `KeyStore`; who writes in the same moment loses nothing either."""
        for _ in range(_TRIES - 1):
            try:
                self._edit(change)
            except ChangedMeanwhileError:
                continue
            return
        self._edit(change)

    def _edit(self, change: Callable[[str | None], str]) -> None:
        secret = self._cluster.read_secret(self._namespace, self._secret)
        if secret is None:
            self._cluster.create_secret(_with_lines(self._new(), change(None)))
        else:
            self._cluster.replace_secret(_with_lines(secret, change(self._lines(secret))))

    def _new(self) -> Object:
        metadata = {"name": self._secret, "namespace": self._namespace}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque"}

    def _lines(self, secret: Object) -> str | None:
        value = (secret.get("data") or {}).get(API_KEYS)
        try:
            return None if value is None else base64.b64decode(value, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            raise CommandError(f"{self.name}: its key {API_KEYS!r} is not UTF-8 text") from None


def _with_lines(secret: Object, lines: str) -> Object:
    data = {**(secret.get("data") or {}), API_KEYS: base64.b64encode(lines.encode()).decode("ascii")}
    return {**secret, "data": data}
