"""Which files beside a graph tell how it reads texts; pure, and without imports, for the fetcher too.

The layout is that of sentence-transformers; exporters to ONNX put the graph into a folder `onnx` of it.
"""

import posixpath
from collections.abc import Collection

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
TOKENIZER_NAME = "tokenizer.json"
POOLING_NAME = "1_Pooling/config.json"
MODULES_NAME = "modules.json"
CONFIG_NAME = "config.json"
# Who knows how long texts may be; the least of them counts.
LENGTHS = (
    ("sentence_bert_config.json", "max_seq_length"),
    ("tokenizer_config.json", "model_max_length"),
    (CONFIG_NAME, "max_position_embeddings"),
)
FURTHER_NAMES = (POOLING_NAME, MODULES_NAME, *(name for name, _ in LENGTHS))
"""What may lie beside `TOKENIZER_NAME`, without which they are of no use."""
_GRAPHS_FOLDER = "onnx"


def takes_tokens(inputs: Collection[str]) -> bool:
    """Whether these are the inputs of a graph that takes the tokens of texts, and nothing else."""
    return {IDS, MASK} <= set(inputs) <= {IDS, MASK, TYPES}


def text_folders(model: str) -> tuple[str, ...]:
    """Where files of texts may lie, the first that has a tokenizer counts; relative to the graph's folder."""
    is_below = posixpath.basename(posixpath.dirname(model)) == _GRAPHS_FOLDER
    return ("", "../") if is_below else ("",)
