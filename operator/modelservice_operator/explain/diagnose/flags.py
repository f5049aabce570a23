"""The runtime speaks of its flags, and a status of fields: which stands for which. Pure.

A contract test holds the table against every argument that the operator gives, and against the API.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FIELDS = {
    "--model": "spec.model.storageUri",
    "--model-version": "spec.model.version",
    "--samples": "spec.model.samples.file",
    "--samples INPUT:SHAPE": "spec.model.samples.shapes",
    "--verify-proof": "spec.model.verify",
    "--with-proof": "spec.model.verify",
    "--uri": "spec.model.storageUri",
    "--sha256": "spec.model.sha256",
    "--max-bytes": "spec.model.maxSize",
    "--credentials-dir": "spec.model.credentials",
    "--decryption-dir": "spec.model.decryption",
    "--cache-dir": "spec.model.cache",
    "--cache-max-bytes": "spec.model.cache.maxSize",
    "--execution-provider": "spec.runtime.executionProviders",
    "--intra-op-threads": "spec.runtime.intraOpThreads",
    "--cuda-memory-limit": "spec.runtime.cuda.memoryLimit",
    "--cuda-arena-extend-strategy": "spec.runtime.cuda.arenaExtendStrategy",
    "--cuda-convolution-search": "spec.runtime.cuda.convolutionSearch",
    "--cuda-no-tf32": "spec.runtime.cuda.tf32",
    "--cuda-graphs": "spec.runtime.cuda.graphs",
    "--openvino-device": "spec.gpu.resource",
    "--tensorrt-fp16": "spec.runtime.tensorrt.fp16",
    "--tensorrt-engine-cache": "spec.runtime.tensorrt.engineCacheSize",
    "--tensorrt-profile": "spec.runtime.tensorrt.profiles",
    "--max-batch-size": "spec.batching.maxBatchSize",
    "--max-batch-delay-milliseconds": "spec.batching.maxDelayMilliseconds",
    "--rows-are-independent": "spec.batching.rowsAreIndependent",
    "--generative": "spec.generation",
    "--max-sequences": "spec.generation.maxSequences",
    "--max-context-tokens": "spec.generation.maxContextTokens",
    "--max-output-tokens": "spec.generation.maxOutputTokens",
    "--kv-cache-bytes": "spec.generation.kvCacheMemory",
    "--prefix-cache": "spec.generation.prefixCache",
    "--adapter": "spec.generation.adapters",
    "--adapter-sha256": "spec.generation.adapters",
    "--adapter-max-bytes": "spec.generation.adapters",
    "--adapter-credentials-dir": "spec.generation.adapters",
    "--max-request-bytes": "spec.server.maxRequestBytes",
    "--idle-timeout-seconds": "spec.server.idleTimeoutSeconds",
    "--max-connection-age-seconds": "spec.server.maxConnectionAgeSeconds",
    "--workers": "spec.server.workers",
    "--access-log": "spec.server.accessLog",
    "--access-log-payloads": "spec.server.accessLogPayloads.maxBytes",
    "--access-log-mask": "spec.server.accessLogPayloads.mask",
    "--audit-log": "spec.server.auditLog",
    "--api-key-file": "spec.auth.apiKeys.secretName",
    "--jwt-jwks-file": "spec.auth.jwt",
    "--jwt-issuer": "spec.auth.jwt.issuer",
    "--jwt-audience": "spec.auth.jwt.audience",
    "--jwt-scope": "spec.auth.jwt.scopes",
    "--tls-cert": "spec.tls.secretName",
    "--tls-key": "spec.tls.secretName",
    "--tls-client-ca": "spec.tls.clientCASecretName",
    "--drain-delay-seconds": "spec.terminationGracePeriodSeconds",
    "--drain-timeout-seconds": "spec.terminationGracePeriodSeconds",
}
FIXED = frozenset(
    {
        "--destination",
        "--grpc-port",
        "--host",
        "--http-port",
        "--metrics-port",
        "--scratch-dir",
        "--verify-only",
    }
)
"""Flags that no field sets."""
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_SHAPE = re.compile(r".+:[0-9]+(x[0-9]+)*")
_UNKNOWN = re.compile(r"unrecognized arguments: (?P<arguments>.*)")
# What argparse adds for whoever sits at a command line.
_FOR_A_TERMINAL = re.compile(r"\bargument (?=--)|; see '[^']* --help'$")


def in_fields(text: str, args: Sequence[str]) -> str:
    """Return what a container said with fields in the place of flags; `args` are the container's."""
    return _FLAG.sub(lambda flag: _field(flag[0], args), _FOR_A_TERMINAL.sub("", text))


def unknown_fields(text: str, args: Sequence[str]) -> list[str]:
    """Return the fields (or flags, where no field sets them) that a container said it does not know."""
    unknown = _UNKNOWN.search(_FOR_A_TERMINAL.sub("", text))
    flags = _FLAG.findall(unknown["arguments"]) if unknown else []
    return list(dict.fromkeys(_field(flag, args) for flag in flags))


def values_of(flag: str, args: Sequence[str]) -> Iterator[str]:
    """Yield the values that `args` give to a flag."""
    return (value for given, value in pairwise(args) if given == flag)


def _field(flag: str, args: Sequence[str]) -> str:
    is_shape = any(map(_SHAPE.fullmatch, values_of(flag, args)))
    by_form = FIELDS.get(f"{flag} INPUT:SHAPE") if is_shape else None
    return by_form or FIELDS.get(flag, flag)
