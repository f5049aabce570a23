"""Objects that pods need and that do not exist, in the sentences of schedulers and kubelets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from modelservice_operator.explain.diagnose.cause import Cause
from modelservice_operator.facts import access_files

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOT_FOUND = re.compile(r"(?P<kind>secret|configmap|persistentvolumeclaim) \"(?P<name>[^\"]+)\" not found")
_VARIABLE_KEY = re.compile(r"couldn't find key (?P<key>\S+) in Secret \S+/(?P<name>\S+)")
_CONFIG_KEY = re.compile(r"references non-existent config key: (?P<key>[-._a-zA-Z0-9]+)")
_SECRET_KEY = re.compile(r"references non-existent secret key: (?P<key>[-._a-zA-Z0-9]+)")
_KINDS = {
    "secret": ("SecretNotFound", "Secret"),
    "configmap": ("ConfigMapNotFound", "ConfigMap"),
    "persistentvolumeclaim": ("ClaimNotFound", "PersistentVolumeClaim"),
}


def missing_object(message: str, samples: Sequence[str] = ()) -> Cause | None:
    """Return the cause where `message` says that an object, or a key of one, is missing.

    `samples` are files that lie beside the model: keys of its ConfigMap too.
    """
    key = _VARIABLE_KEY.search(message)
    if key is not None:
        sentence = f"Secret {key['name']!r} has no key {key['key']!r}, which spec.env asks for: add it."
        return Cause(reason="SecretNotFound", message=sentence, heals=True)
    config_key = _CONFIG_KEY.search(message)
    if config_key is not None and config_key["key"] == access_files.JWKS:
        return _no_key("ConfigMap", access_files.JWKS_CONFIG_MAP_FIELD, access_files.JWKS)
    if config_key is not None:
        field = "spec.model.samples.file" if config_key["key"] in samples else "spec.model.storageUri"
        return Cause(
            reason="ConfigMapKeyNotFound",
            message=f"The ConfigMap has no such key, correct {field} or add it: {message}",
        )
    secret_key = _SECRET_KEY.search(message)
    if secret_key is not None and (access_field := access_files.FIELDS.get(secret_key["key"])):
        return _no_key("Secret", access_field, secret_key["key"])
    if "references non-existent secret key" in message:
        sentence = f"A Secret has no such key, add it: {message}"
        return Cause(reason="SecretKeyNotFound", message=sentence, heals=True)
    match = _NOT_FOUND.search(message)
    if match is None:
        return None
    reason, kind = _KINDS[match["kind"]]
    sentence = f"{kind} {match['name']!r} does not exist in this namespace: create it."
    return Cause(reason=reason, message=sentence, heals=True)


def _no_key(kind: str, field: str, key: str) -> Cause:
    sentence = f"The {kind} that {field} names has no key {key!r}: add it."
    return Cause(reason=f"{kind}KeyNotFound", message=sentence, heals=True)
