"""`spec.generation`: a model that generates text, and what its texts may take."""

from typing import Annotated

from modelservice_operator.api.types.base import ApiModel, Quantity, between, quantity_between

MAX_CONTEXT_TOKENS = 1 << 24


class Generation(ApiModel):
    """How a model that generates text shares its pod; what is left out is the server's choice.

    The files beside the graph come along: genai_config.json, the tokenizer and the chat template.
    """

    max_sequences: Annotated[int, between(1, 1024)] | None = None
    """Texts that are generated at the same time; the others wait. Default: 16."""
    max_context_tokens: Annotated[int, between(1, MAX_CONTEXT_TOKENS)] | None = None
    """Tokens of one text, prompt and completion together. Default: the model's own number, at most 4096, less
    where memory is short."""
    max_output_tokens: Annotated[int, between(1, MAX_CONTEXT_TOKENS)] | None = None
    """The most tokens of one completion. Default: what the context leaves."""
    kv_cache_memory: Quantity | None = None
    """Memory for the keys and values of all texts, such as 2Gi. Default: what maxContextTokens needs, or half
    of what the weights leave of the pod's memory."""
    prefix_cache: bool | None = None
    """Whether a prompt that begins like an earlier one of the same caller is read from there on only.
    Default: true."""

    rules = (
        quantity_between("kvCacheMemory", "kv_cache_memory", "1Mi", "16Ti", "from 1Mi to 16Ti, such as 2Gi"),
    )
