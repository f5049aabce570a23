from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from modelservice_runtime.errors import InvalidSettingsError, ModelRejectedError
from modelservice_runtime.generation.config import DecoderConfig, read_config
from modelservice_runtime.generation.kv.plan import FreeMemory, cache_item_bytes, plan_cache
from modelservice_runtime.generation.values import Sampling
from modelservice_runtime.settings.generation import GenerationSettings

MIB = 1024**2
# One token of one text takes 32 KiB in fp32.
CONFIG = DecoderConfig(
    file="model.onnx",
    layers=16,
    kv_heads=4,
    head_size=64,
    context_length=8192,
    vocabulary=1000,
    eos_ids=frozenset({2}),
    ids_name="input_ids",
    mask_name="attention_mask",
    positions_name="position_ids",
    logits_name="logits",
    past_names=("past.%d.key", "past.%d.value"),
    present_names=("present.%d.key", "present.%d.value"),
    sampling=Sampling(),
)
TOKEN_BYTES = 2 * 16 * 4 * 64 * 4


def _plan(free_mib: int, weights_mib: int = 100, **settings: int | None) -> tuple[int, int, int]:
    plan = plan_cache(
        CONFIG, 4, GenerationSettings(**settings), weights_mib * MIB, FreeMemory(free_mib * MIB)
    )  # type: ignore[arg-type]
    return plan.slots, plan.places, plan.cache_bytes


def test_with_much_memory_a_context_is_long_and_not_endless() -> None:
    assert _plan(100_000) == (16, 4096, 16 * 4096 * TOKEN_BYTES)


def test_a_model_that_was_made_for_less_has_its_own_context() -> None:
    plan = plan_cache(replace(CONFIG, context_length=100), 4, GenerationSettings(), 0, FreeMemory(1000 * MIB))

    assert plan.places == 100


def test_half_of_what_the_weights_leave_is_taken_by_itself() -> None:
    slots, places, taken = _plan(1124)

    assert (slots, places) == (16, 1024)
    assert taken == 512 * MIB


def test_what_is_asked_for_is_given_or_refused() -> None:
    assert _plan(2000, max_sequences=4, max_context_tokens=8192) == (4, 8192, 4 * 8192 * TOKEN_BYTES)
    with pytest.raises(ModelRejectedError, match=r"4 texts of 8192 tokens need 1\.00 GiB.*raise the memory"):
        _plan(1300, max_sequences=4, max_context_tokens=8192)


def test_little_memory_is_told_as_more_than_nothing() -> None:
    with pytest.raises(ModelRejectedError, match=r"--kv-cache-bytes allows 1\.0 MiB"):
        _plan(100_000, kv_cache_bytes=MIB)


def test_a_gpu_is_named_where_its_memory_is_short() -> None:
    gpu = FreeMemory(400 * MIB, "GPU memory", "take a GPU with more memory")
    words = r"0\.39 GiB of GPU memory are free.*take a GPU with more memory, or lower --max-sequences"
    with pytest.raises(ModelRejectedError, match=words):
        plan_cache(CONFIG, 4, GenerationSettings(max_context_tokens=1024), 100 * MIB, gpu)


def test_a_context_beyond_the_models_own_is_refused() -> None:
    with pytest.raises(InvalidSettingsError, match="at most 8192"):
        _plan(100_000, max_context_tokens=8193)


def test_memory_that_was_given_is_used_and_kept_to() -> None:
    assert _plan(100_000, kv_cache_bytes=512 * MIB)[1:] == (1024, 512 * MIB)
    assert _plan(100_000, max_sequences=1, kv_cache_bytes=512 * MIB)[1] == 8192
    with pytest.raises(ModelRejectedError, match="--kv-cache-bytes allows"):
        _plan(100_000, kv_cache_bytes=512 * MIB, max_context_tokens=2048)
    with pytest.raises(ModelRejectedError, match="raise the memory limit"):
        _plan(400, kv_cache_bytes=300 * MIB)


@pytest.mark.parametrize("free_mib", [0, 50, 101, 200])
def test_too_little_for_anything_is_told(free_mib: int) -> None:
    with pytest.raises(ModelRejectedError, match="256 tokens need"):
        _plan(free_mib)


@given(st.integers(0, 10**11), st.integers(0, 10**10), st.integers(1, 64), st.none() | st.integers(1, 10**10))
def test_what_is_promised_is_there(free: int, weights: int, slots: int, asked: int | None) -> None:
    settings = GenerationSettings(max_sequences=slots, kv_cache_bytes=asked)
    try:
        plan = plan_cache(CONFIG, 4, settings, weights, FreeMemory(free))
    except ModelRejectedError:
        return
    assert plan.cache_bytes == plan.slots * plan.places * TOKEN_BYTES
    assert weights + plan.cache_bytes <= free
    assert plan.places <= CONFIG.context_length
    assert asked is None or plan.cache_bytes <= asked


def test_the_size_of_numbers_is_the_graphs(tiny_chat: Path, tmp_path: Path) -> None:
    config = read_config(tiny_chat)
    assert cache_item_bytes(tiny_chat / "model.onnx", config) == 4
    model = onnx.load(tiny_chat / "model.onnx", load_external_data=False)
    for one in model.graph.input:
        if one.name.startswith("past"):
            one.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, tmp_path / "half.onnx")

    assert cache_item_bytes(tmp_path / "half.onnx", config) == 2
