"""Which folders of transformers hold a language model that can be served; read before anything is built.

The server keeps a row's memory as keys and values of GroupQueryAttention over the whole context, and nothing
else. What needs more is refused here, by its `config.json`, for building a large model takes an hour.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelservice_pipeline.errors import PipelineError

SUPPORTED = (
    "Ernie4_5ForCausalLM", "GemmaForCausalLM", "GraniteForCausalLM", "HunYuanDenseV1ForCausalLM",
    "InternLM2ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM", "NemotronForCausalLM",
    "OlmoForCausalLM", "Phi3ForCausalLM", "PhiForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM",
    "SmolLM3ForCausalLM",
)  # fmt: skip
"""What the builder makes plain decoders of; the others it knows have experts, windows, states or pictures."""
_PICTURES = ("vision_config", "audio_config", "speech_config", "img_processor", "embd_layer")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_RECURRENT_KINDS = ("linear_attention", "mamba", "conv", "recurrent")
_RECURRENT_FIELDS = (
    "ssm_cfg",
    "state_size",
    "mamba_d_state",
    "conv_L_cache",
    "time_step_rank",
    "attention_hidden_size",
)
# GroupQueryAttention on a CPU turns heads in steps of this size.
_HEAD_STEP = 16
_LONG_ROPE = ("longrope", "su")


def check_source(folder: Path) -> dict[str, Any]:
    """Return what `config.json` says of a model that can be served. Raises PipelineError, with the reason."""
    config = _read(folder)
    if reason := find_refusal(config):
        raise PipelineError(f"{folder.name or folder} cannot be served, and nothing was converted: {reason}")
    if not any(folder.glob("*.safetensors")):
        raise PipelineError(f"{folder} has no weights (*.safetensors); save_pretrained writes them")
    if not (folder / "tokenizer.json").is_file():
        raise PipelineError(
            f"{folder} has no tokenizer.json, which the server reads; save the model's fast tokenizer there "
            "(AutoTokenizer.from_pretrained(...).save_pretrained(...))"
        )
    return config


def find_refusal(config: Mapping[str, Any]) -> str:
    """Say why a model of this configuration cannot be served; empty where it can."""
    return next((reason for find in _REFUSALS if (reason := find(config))), "")


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise PipelineError(f"{folder} is no folder with a config.json, as save_pretrained writes it")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise PipelineError(f"{path} is not JSON; take the model's own file") from None
    if not isinstance(config, dict):
        raise PipelineError(f"{path} is no JSON object; take the model's own file")
    return config


def _architecture(config: Mapping[str, Any]) -> str:
    found = config.get("architectures")
    return str(found[0]) if isinstance(found, list) and found else ""


def _other_parts(config: Mapping[str, Any]) -> str:
    if config.get("is_encoder_decoder"):
        return "it has an encoder, and decoders alone are served"
    found = next((name for name in _PICTURES if config.get(name)), None)
    return f"it takes pictures or sound ({found}), and models of texts alone are served" if found else ""


def _experts(config: Mapping[str, Any]) -> str:
    found = next((name for name in _EXPERTS if _is_above(config.get(name), 1)), None)
    if found is None and "Moe" not in _architecture(config) and "MoE" not in _architecture(config):
        return ""
    return f"it is a mixture of experts ({found or _architecture(config)}), which is not served"


def _recurrent(config: Mapping[str, Any]) -> str:
    kinds = {kind for kind in _layer_types(config) if any(word in kind for word in _RECURRENT_KINDS)}
    found = sorted(kinds) or [name for name in _RECURRENT_FIELDS if config.get(name)]
    return f"it keeps a recurrent state ({found[0]}), which is not served" if found else ""


def _window(config: Mapping[str, Any]) -> str:
    window = config.get("sliding_window")
    layers = _layer_types(config)
    is_used = "sliding_attention" in layers if layers else bool(config.get("use_sliding_window", True))
    if not (window and is_used):
        return ""
    return (
        f"it attends through a sliding window ({window} tokens), which is not served; take a model that "
        "attends to its whole context"
    )


def _unknown(config: Mapping[str, Any]) -> str:
    architecture = _architecture(config)
    if architecture in SUPPORTED:
        return ""
    return f"{architecture or 'a model without architectures'} is none of {', '.join(SUPPORTED)}"


def _rotations(config: Mapping[str, Any]) -> str:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type")) if isinstance(rope, dict) else None
    if kind not in _LONG_ROPE:
        return ""
    return f"its rotations depend on how long the longest text of a run is ({kind}), which is not served"


def _quantized(config: Mapping[str, Any]) -> str:
    found = config.get("quantization_config")
    if not found:
        return ""
    method = found.get("quant_method", "some method") if isinstance(found, dict) else found
    return f"its weights are quantized already ({method}); take the model in its own precision"


def _heads(config: Mapping[str, Any]) -> str:
    size, width, heads = (config.get(name) for name in ("head_dim", "hidden_size", "num_attention_heads"))
    if not size and isinstance(width, int) and isinstance(heads, int) and heads > 0:
        size = width // heads
    if not isinstance(size, int) or size % _HEAD_STEP == 0:
        return ""
    return f"its heads have {size} numbers, and only multiples of {_HEAD_STEP} are served"


def _layer_types(config: Mapping[str, Any]) -> list[str]:
    found = config.get("layer_types")
    return [str(one) for one in found] if isinstance(found, list) else []


def _is_above(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > least


# What tells most comes first: whoever has a mixture of experts shall not read of its name alone.
_REFUSALS: tuple[Callable[[Mapping[str, Any]], str], ...] = (
    _other_parts, _experts, _recurrent, _window, _unknown, _rotations, _quantized, _heads,
)  # fmt: skip
