"""What logs and traces are told of a request for texts, never the texts; pure.

Source: OpenTelemetry's semantic conventions for generative AI, "Inference" spans. Those are a client's: the
server's span has the name and the status of its HTTP request.
"""

from collections.abc import Iterable

from modelservice_runtime.errors import ServingError
from modelservice_runtime.generation.values import Finish, Usage
from modelservice_runtime.protocols.openai.asking.sampling import Wishes
from modelservice_runtime.transport.http import Told
from modelservice_runtime.transport.status import mapping_of

_SAMPLING = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed")


def tell_wishes(wishes: Wishes) -> Told:
    """What was asked for, where it was said."""
    told = {name: wishes.sampling[name] for name in _SAMPLING if name in wishes.sampling}
    if wishes.ends.max_tokens is not None:
        told["max_tokens"] = wishes.ends.max_tokens
    if wishes.choices > 1:
        told["choice.count"] = wishes.choices
    return {f"gen_ai.request.{name}": value for name, value in told.items()}


def tell_end(usage: Usage | None, finishes: Iterable[Finish], error: ServingError | None) -> Told:
    """What became of it: `usage` of what was begun, also where it came to no end of its own."""
    told: dict[str, str | int | tuple[str, ...]] = {}
    if usage is not None:
        told["gen_ai.usage.input_tokens"] = usage.prompt
        told["gen_ai.usage.output_tokens"] = usage.completion
        told["gen_ai.usage.cache_read.input_tokens"] = usage.cached
    if reasons := tuple(finish.value for finish in finishes):
        told["gen_ai.response.finish_reasons"] = reasons
    if error is not None and (status := mapping_of(error).status) >= 500:
        told["error.type"] = str(status)
    return told
