"""What `spec.server`, `batching`, `generation`, `model.samples` and `env` become in a pod. Pure.

Only what is set becomes an argument: a new revision may run on an image that is older than this operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.facts.text.quantity import parse_quantity

if TYPE_CHECKING:
    from modelservice_operator.api import Batching, EnvVar, Generation, ModelServiceSpec, Samples, ServerSpec


def server_args(server: ServerSpec | None) -> list[str]:
    """Return the server's arguments; none where nothing is set."""
    if server is None:
        return []
    max_bytes = server.max_request_bytes
    age_seconds = server.max_connection_age_seconds
    payloads = server.access_log_payloads
    wanted = {
        "--max-request-bytes": None if max_bytes is None else int(parse_quantity(max_bytes)),
        "--idle-timeout-seconds": server.idle_timeout_seconds,
        "--max-connection-age-seconds": "off" if age_seconds == 0 else age_seconds,
        "--workers": server.workers,
        "--access-log": server.access_log,
        "--access-log-payloads": None if payloads is None else payloads.max_bytes,
        "--audit-log": None if server.audit_log is None else server.audit_log.lower(),
    }
    args = [text for flag, value in wanted.items() if value is not None for text in (flag, str(value))]
    masks = () if payloads is None else payloads.mask or ()
    return [*args, *(text for mask in masks for text in ("--access-log-mask", mask))]


def batching_args(batching: Batching | None) -> list[str]:
    """Return the server's arguments that let requests share runs."""
    if batching is None:
        return []
    args = ["--max-batch-size", str(batching.max_batch_size)]
    args += ["--max-batch-delay-milliseconds", str(batching.max_delay_milliseconds)]
    return [*args, "--rows-are-independent"] if batching.rows_are_independent else args


def generation_args(generation: Generation | None) -> list[str]:
    """Return the server's arguments for a model that generates text."""
    if generation is None:
        return []
    memory = generation.kv_cache_memory
    wanted = {
        "--max-sequences": generation.max_sequences,
        "--max-context-tokens": generation.max_context_tokens,
        "--max-output-tokens": generation.max_output_tokens,
        "--kv-cache-bytes": None if memory is None else int(parse_quantity(memory)),
        "--prefix-cache": None if generation.prefix_cache is None else _on_off(on=generation.prefix_cache),
    }
    return [text for flag, value in wanted.items() if value is not None for text in (flag, str(value))]


def _on_off(*, on: bool) -> str:
    return "on" if on else "off"


def sample_args(samples: Samples | None) -> list[str]:
    """Return what the server tries the model on: a file beside it, or shapes such as `x:1x4`."""
    if samples is None:
        return []
    shapes = [f"{one.input}:{'x'.join(map(str, one.shape))}" for one in samples.shapes or ()]
    wanted = shapes if samples.file is None else [samples.file]
    return [text for one in wanted for text in ("--samples", one)]


def environment(spec: ModelServiceSpec, *, for_fetcher: bool) -> dict[str, Any]:
    """Return `env` of the server's or the fetcher's container; nothing where it has no variable."""
    variables = [variable(one) for one in spec.env if one.is_for_fetcher == for_fetcher]
    return {"env": variables} if variables else {}


def variable(wanted: EnvVar) -> dict[str, Any]:
    """Return a variable as a container has it."""
    if wanted.secret_name is None:
        return {"name": wanted.name, "value": wanted.value}
    # The key is the variable's own name: no Secret that was made for something else can be read.
    reference = {"name": wanted.secret_name, "key": wanted.name}
    return {"name": wanted.name, "valueFrom": {"secretKeyRef": reference}}
