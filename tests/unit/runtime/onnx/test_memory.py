"""Outputs that are larger than they should be, and memory that is not there."""

import os
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime import onnx_models
from tests.unit.runtime.gated_model import FAST, SLOW, SPEC, GatedModel, Results, make_lane, make_request

from modelservice_runtime.errors import OutputTooLargeError
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.machine.memory.shares import (
    buffer_limit_bytes,
    find_memory_share,
    heap_holes_bytes,
    share_out,
    tensor_limit_bytes,
)
from modelservice_runtime.model import WarmUp
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.onnx.model import load_onnx_model
from modelservice_runtime.protocols.inference import InferCall, infer_inline, record_failure
from modelservice_runtime.settings.sessions import SessionSettings
from modelservice_runtime.tensors import Array

MIB = 1024 * 1024
# Nothing here is touched, so a machine without the limit would grant it and fail the test only.
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from modelservice_runtime.errors import OutputTooLargeError
from modelservice_runtime.machine.memory.shares import MemoryShare, limit_growth
from modelservice_runtime.onnx.model import load_onnx_model
from modelservice_runtime.settings.sessions import SessionSettings

model = load_onnx_model(Path(sys.argv[1]), "m", "1", SessionSettings(("CPU",), 1, max_output_bytes=2**40))
model.run({"x": np.array([1000], np.int64)}, ["y"])
limit_growth(MemoryShare(600 * 2**20))
small = model.run({"x": np.array([25_000_000], np.int64)}, ["y"])[0]
assert small.nbytes == 100_000_000
try:
    model.run({"x": np.array([500_000_000], np.int64)}, ["y"])
except OutputTooLargeError as error:
    print("refused:", error)
try:
    np.empty(2_000_000_000, np.uint8)
except MemoryError:
    print("refused by numpy")
print(model.run({"x": np.array([3], np.int64)}, ["y"])[0].tolist())
"""


LOADS_WITH_LITTLE = """
import sys, resource
from pathlib import Path
from modelservice_runtime.errors import ModelLoadFailedError
from modelservice_runtime.onnx.model import load_onnx_model
from modelservice_runtime.settings.sessions import SessionSettings

resource.setrlimit(resource.RLIMIT_DATA, (600 * 2**20, resource.RLIM_INFINITY))
try:
    load_onnx_model(Path(sys.argv[1]), "m", "1", SessionSettings(("CPU",), 1))
except ModelLoadFailedError as error:
    print(error)
"""


def test_model_that_finds_no_memory_is_told_so(tmp_path: Path) -> None:
    """The weights are a hole in a file; ONNX Runtime wants a gigabyte for a copy in another order."""
    with (tmp_path / "weights").open("wb") as file:
        file.truncate(2**30)
    weight = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[2**14, 2**14])
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights")
    x, y = (onnx_models.value(name, "FP32", ["n", 2**14]) for name in "xy")
    product = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([product], "g", [x], [y], [weight])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    command = [sys.executable, "-c", LOADS_WITH_LITTLE, str(tmp_path / "model.onnx")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("ModelLoadFailed: there is too little memory to load the model")


def test_allocation_beyond_the_limit_fails_and_the_process_lives(model_files: dict[str, Path]) -> None:
    command = [sys.executable, "-c", PROGRAM, str(model_files["expand"])]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = ended.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["refused", "refused by numpy", "[0.0, 0.0, 0.0]"], (
        ended
    )


GROWING = """
import sys
from pathlib import Path
import numpy as np
from modelservice_runtime.errors import OutputTooLargeError
from modelservice_runtime.machine.memory.cgroup import process_status
from modelservice_runtime.onnx.arena import open_arena, shrink_arena
from modelservice_runtime.onnx.model import load_onnx_model
from modelservice_runtime.settings.sessions import SessionSettings

open_arena(100 * 2**20)
model = load_onnx_model(Path(sys.argv[1]), "m", "1", SessionSettings(("CPU",), 1))
model.run({"x": np.array([1000], np.int64)}, ["y"])
before = process_status()["RssAnon"]
for megabytes in (10, 20, 40, 60, 80, 90):  # 300 in all, had each left its own memory behind
    model.run({"x": np.array([megabytes * 250_000], np.int64)}, ["y"])
kept = process_status()["RssAnon"] - before
shrink_arena()
print(kept > 80_000_000, process_status()["RssAnon"] - before < 8_000_000)
try:
    model.run({"x": np.array([30_000_000], np.int64)}, ["y"])
except OutputTooLargeError:
    print("refused")
"""


def test_tensors_of_growing_sizes_share_one_bounded_arena(model_files: dict[str, Path]) -> None:
    command = [sys.executable, "-c", GROWING, str(model_files["expand"])]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stdout.split() == ["True", "True", "refused"], ended


SIZES = st.integers(0, 2**45)


@given(limit=SIZES, others=SIZES, used=SIZES, weights=SIZES, workers=st.integers(1, 64))
def test_shares_never_exceed_what_is_free(
    limit: int, others: int, used: int, weights: int, workers: int
) -> None:
    share = share_out(limit, others, workers)
    assert share.limit_bytes * workers <= limit
    free = share.free_bytes(used)
    assert 0 <= free <= max(limit - used, 0)
    weights = min(weights, free)
    tensors = tensor_limit_bytes(share, used, weights)
    buffers = buffer_limit_bytes(share, used + weights)
    assert tensors >= 8 * MIB
    if free > 96 * MIB:
        # What neither may take is for everything small.
        assert tensors + buffers <= free - (free - weights) // 20
        assert tensors - weights >= (free - weights) * 0.7 - 16 * MIB


def test_worker_leaves_room_for_its_parent() -> None:
    assert share_out(512 * MIB, 0, 2).limit_bytes == 232 * MIB


def test_pages_of_files_count_once_for_all_workers() -> None:
    status = {"VmRSS": 82 * MIB, "RssAnon": 40 * MIB, "RssFile": 39 * MIB, "RssShmem": 3 * MIB}
    assert [share_out(512 * MIB, 0, workers).used_bytes(status) // MIB for workers in (1, 3)] == [82, 56]


SHORT = """
import resource, threading
from pathlib import Path
from modelservice_runtime.machine.memory.shares import unlimit_growth
from modelservice_runtime.machine.memory.spare import ensure_room, give_back_where_short

kept = [bytearray(8 << 20)]
used = int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + (2 << 20), resource.RLIM_INFINITY))
for size_bytes in (1 << 20, 5 << 20):
    try:
        ensure_room(size_bytes)
    except MemoryError:
        print("no room")
give_back_where_short(kept.clear)
ensure_room(4 << 20)  # and as much again for others
print("room", len(kept))
try:
    ensure_room(16 << 20)
except MemoryError:
    print("no room")
unlimit_growth()
thread = threading.Thread(target=bytearray, args=(16 << 20,))
thread.start()
thread.join()
print("ended")
"""


def test_room_is_made_of_what_is_kept_before_there_is_none_and_the_end_finds_some() -> None:
    ended = subprocess.run([sys.executable, "-c", SHORT], capture_output=True, text=True, check=False)
    lines = ["no room", "room 0", "no room", "ended"]
    assert (ended.returncode, ended.stdout.splitlines()[-4:]) == (0, lines), ended


def test_share_of_this_process_is_at_most_the_machine() -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < find_memory_share(4).limit_bytes < find_memory_share(1).limit_bytes <= machine


def test_holes_of_the_heap_are_counted() -> None:
    smaps = """55a0-55b0 rw-p 00000000 00:00 0                          [heap]
Size:                264 kB
KernelPageSize:        4 kB
Rss:                  44 kB
VmFlags: rd wr mr
7f00-7f10 rw-p 00000000 00:00 0
Size:                900 kB
Rss:                   1 kB
"""
    assert heap_holes_bytes(smaps) == 220 * 1024
    assert heap_holes_bytes("") == 0


def test_run_whose_outputs_exceed_the_limit_is_too_large(tmp_path: Path) -> None:
    settings = SessionSettings(("CPU",), 1, max_output_bytes=1000)
    model = load_onnx_model(onnx_models.save_expand(tmp_path / "m.onnx"), "m", "1", settings)
    assert model.run({"x": np.array([250], np.int64)}, ["y"])[0].nbytes == 1000
    with pytest.raises(OutputTooLargeError, match="1004 bytes and the limit is 1000"):
        model.run({"x": np.array([251], np.int64)}, ["y"])


def encode(_outputs: list[Array]) -> bytes:
    raise MemoryError


def make_handle(warm_up: WarmUp) -> tuple[ModelHandle, GatedModel]:
    model = GatedModel()
    return ModelHandle(SPEC, make_lane(model, warm_up), ModelStatistics()), model


async def test_answer_without_memory_to_write_it_is_too_large_and_not_lost() -> None:
    handle, model = make_handle(SLOW)
    results = Results()
    model.gate.set()
    for _ in range(2):
        InferCall(handle, 0, encode, results.append).enqueue(make_request(1.0))  # type: ignore[arg-type]
    await results.wait(2)
    assert [type(item) for item in results.items] == [OutputTooLargeError] * 2


async def test_inline_answer_without_memory_to_write_it_is_too_large() -> None:
    handle, _ = make_handle(FAST)
    with pytest.raises(MemoryError) as error:
        infer_inline(handle, make_request(1.0), 0, encode)
    told = record_failure(handle, 0, error.value)
    assert isinstance(told, OutputTooLargeError)
    assert "no memory" in str(told)


class Piece:
    """A part of an answer."""


async def test_what_was_written_of_an_answer_without_memory_is_gone_before_its_error_is_written() -> None:
    handle, _ = make_handle(FAST)
    pieces: list[weakref.ref[Piece]] = []

    def write() -> None:
        piece = Piece()
        pieces.append(weakref.ref(piece))
        raise MemoryError

    with ThreadPoolExecutor(1) as threads:
        error = threads.submit(write).exception()
    assert error is not None
    assert pieces[0]() is not None
    record_failure(handle, 0, error)
    assert pieces[0]() is None


WRITES = """
import resource, sys
from pathlib import Path
import numpy as np
from modelservice_runtime.protocols.tensors.json_codec import encode_values, text_with_tokens
from modelservice_runtime.transport.status import error_body
from modelservice_runtime.protocols.tfs.rest.json_values import encode_rows, encode_value
from modelservice_runtime.tensors import DATATYPES, TensorSpec

numbers, texts = (TensorSpec(name, DATATYPES[name], (-1,)) for name in ("FP64", "BYTES"))
many = np.random.default_rng(0).normal(size=400_000)
long = np.full(2, "a" * 20_000_000, object)
rows = many[:16_000].reshape(1000, 16), many[:32_000].reshape(1000, 32)
used = int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0]) * 1024
for more_bytes, write in (
    (4 << 20, lambda: encode_values(numbers, many)),
    (4 << 20, lambda: encode_values(texts, long)),
    (0, lambda: encode_rows("predictions", [(numbers, rows[0]), (numbers, rows[1])])),
    (0, lambda: encode_value("predictions", numbers, many[:16_000])),
    (0, lambda: encode_values(numbers, many[:30_000])),
    (0, lambda: text_with_tokens(many[:30_000], many[:0])),
    (0, lambda: error_body(long[0])),
):
    resource.setrlimit(resource.RLIMIT_DATA, (used + more_bytes, resource.RLIM_INFINITY))
    try:
        write()
    except MemoryError:
        print("refused")
"""


def test_answers_that_find_no_memory_do_not_end_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", WRITES], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.split()) == (0, ["refused"] * 7), ended


READS = """
import resource
from pathlib import Path
from modelservice_runtime.protocols.tensors.json_codec import decode_value

texts = [
    b"[" + b",".join([text] * 60_000) + b"]"
    for text in (b'{"k":1}', b"[1.5,2.5]", b"1.5", b'"' + b"a" * 200 + b'"')
]
texts.append(b"{" + b",".join(b'"k%d":1' % i for i in range(60_000)) + b"}")
used = int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0]) * 1024
for more_bytes in (0, 2 << 20, 6 << 20, 12 << 20):
    resource.setrlimit(resource.RLIMIT_DATA, (used + more_bytes, resource.RLIM_INFINITY))
    for text in texts:
        try:
            decode_value(text)
        except MemoryError:
            print("refused")
resource.setrlimit(resource.RLIMIT_DATA, (used + 2**30, resource.RLIM_INFINITY))
print([len(decode_value(text)) for text in texts] == [60_000] * 5)
"""


def test_requests_that_find_no_memory_do_not_end_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", READS], capture_output=True, text=True, check=False)
    lines = ended.stdout.split()
    assert (ended.returncode, lines[:5], lines[-1]) == (0, ["refused"] * 5, "True"), ended
