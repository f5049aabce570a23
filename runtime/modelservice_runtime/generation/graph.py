"""What a decoder's graph may hold, so that rows of different lengths can share its runs; reads bytes only.

All memory of a row has to be keys and values that GroupQueryAttention keeps in place: it alone takes every
row's own length. Whatever looks at the batch as a whole would make a row's text depend on its neighbours.
"""

from collections import Counter

from modelservice_runtime.errors import ModelRejectedError
from modelservice_runtime.generation.config import DecoderConfig
from modelservice_runtime.onnx.graph.wire import fields
from modelservice_runtime.onnx.rows.graph_file import Node, read_model

ATTENTION = "GroupQueryAttention"
# An unsigned varint: whatever has the sign's bit is negative, and means "no window".
_SIGN = 1 << 63
_EXPERTS = frozenset({"MoE", "QMoE"})
_BRANCHES = frozenset({"If", "Loop", "Scan"})
_OTHER_ATTENTION = frozenset({
    "Attention", "DecoderMaskedMultiHeadAttention", "DecoderMaskedSelfAttention", "GatedRelativePositionBias",
    "MultiHeadAttention", "PackedAttention", "PagedAttention", "SparseAttention",
})  # fmt: skip
_RECURRENT = frozenset({
    "CausalConvWithState", "GRU", "LinearAttention", "LSTM", "RNN", "SelectiveScan", "SSM",
})  # fmt: skip
_ADVICE = "export a plain decoder with onnxruntime-genai's model builder"


def check_graph(content: memoryview, config: DecoderConfig) -> None:
    """Check a serialized ModelProto.

    Raises ModelRejectedError for what cannot be served; ModelLoadFailedError, MixingError for no model.
    """
    nodes = read_model(content).graph.nodes
    kinds = Counter(node.operator for node in nodes)
    for unsupported, what in (
        (_EXPERTS, "routes tokens to experts"),
        (_RECURRENT, "keeps a recurrent state"),
        (_OTHER_ATTENTION, f"attends by another operator than {ATTENTION}"),
        (_BRANCHES, "takes one way or another for a whole batch"),
    ):
        found = sorted(unsupported & kinds.keys())
        if found:
            raise ModelRejectedError(f"the model {what} ({', '.join(found)}), which is not served; {_ADVICE}")
    attentions = [node for node in nodes if node.operator == ATTENTION]
    if len(attentions) != config.layers:
        raise ModelRejectedError(
            f"the graph has {len(attentions)} nodes of {ATTENTION}, and genai_config.json says "
            f"{config.layers} layers; {_ADVICE}"
        )
    if any(_has_window(node) for node in attentions):
        raise ModelRejectedError(
            "the model attends through a sliding window (local_window_size), which is not served; take a "
            "model that attends to its whole context"
        )


def _has_window(node: Node) -> bool:
    attribute = node.attributes.get("local_window_size")
    size = 0 if attribute is None else dict(fields(attribute)).get(3, 0)
    return isinstance(size, int) and 0 < size < _SIGN
