"""A model that is refused, crashes, hangs or is killed ends its trial; the server lives and says why."""

import asyncio
import contextlib
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.integration.runtime.test_workers import is_running
from tests.unit.runtime import onnx_models
from tests.unit.runtime.server_process import run_to_the_end, server_process
from tests.unit.runtime.server_thread import ServerThread

from modelservice_pipeline.proof.files import write_proof
from modelservice_pipeline.proof.proof import Case, Proof
from modelservice_runtime.errors import ModelRejectedError, StartupError
from modelservice_runtime.models.trial import try_model, try_models
from modelservice_runtime.models.versions import VersionSource
from modelservice_runtime.onnx.model import load_onnx_model
from modelservice_runtime.settings.sessions import SessionSettings

CPU = SessionSettings(("CPU",), 1)


def source(path: Path) -> VersionSource:
    return VersionSource("m", "1", path)


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if platform.machine() != "x86_64":
        pytest.skip("other processors compute this quotient")
    return onnx_models.save_crash(tmp_path_factory.mktemp("crash") / "model.onnx")


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_models.save_loop(tmp_path_factory.mktemp("endless") / "model.onnx", least_turns=2**40)


OTHERS: set[int] = set()
"""Children of this process that other tests of the same run have started, such as a control plane."""


@pytest.fixture(autouse=True)
def others() -> Iterator[None]:
    OTHERS.update(children(os.getpid()))
    yield
    OTHERS.clear()


def children(pid: int) -> set[int]:
    found = set()
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # of a thread that has just ended
            found.update(map(int, file.read_text(encoding="ascii").split()))
    return found - OTHERS


def wait_for_child(pid: int) -> int:
    deadline = time.monotonic() + 120
    while not (found := children(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (child,) = found
    return child


def wait_until_ended(pid: int) -> None:
    deadline = time.monotonic() + 120
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_trial_of_a_good_model_passes(model_files: dict[str, Path]) -> None:
    await try_model(source(model_files["mlp"]), CPU, 60)
    assert children(os.getpid()) == set()


@pytest.mark.parametrize("case", ["missing", "truncated", "custom operator", "provider"])
async def test_refusal_is_the_one_of_loading_word_for_word(
    case: str, model_files: dict[str, Path], tmp_path: Path
) -> None:
    path, settings = tmp_path / "model.onnx", CPU
    if case == "truncated":
        path.write_bytes(model_files["mlp"].read_bytes()[:200])
    elif case == "custom operator":
        custom = onnx_models.helper.make_node("Magic", ["x"], ["y"], domain="com.example")
        x, y = (onnx_models.value(name, "FP32", ["n"]) for name in "xy")
        onnx_models.save(path, [custom], [x], [y], domains=["com.example"])
    elif case == "provider":
        path, settings = model_files["mlp"], SessionSettings(("CUDA",), 1)
    with pytest.raises(StartupError) as loading:
        load_onnx_model(path, "m", "1", settings)
    with pytest.raises(StartupError) as trial:
        await try_model(source(path), settings, 60)
    assert type(trial.value) is type(loading.value)
    assert trial.value.sentence == f"model 'm' (version '1'): {loading.value.sentence}"


async def test_several_models_share_a_process_and_the_one_that_crashes_is_named(
    crashing: Path, model_files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    sources = [VersionSource(name, "1", model_files["mlp"]) for name in ("one", "two")]
    bad, never = VersionSource("bad", "1", crashing), VersionSource("never", "1", crashing)
    caplog.set_level("INFO")
    assert await try_models(sources, CPU, 60, asyncio.Event())
    with pytest.raises(ModelRejectedError, match=r"'bad' .* crashed ONNX Runtime \(SIGFPE\)"):
        await try_models([*sources, bad, never], CPU, 60, asyncio.Event())
    tried = [vars(record)["model"] for record in caplog.records if record.message == "model tried"]
    assert tried == ["one", "two"] * 2
    assert children(os.getpid()) == set()


async def test_crash_of_onnx_runtime_is_named_and_the_models_beside_it_go_on(
    crashing: Path, server: ServerThread
) -> None:
    with pytest.raises(ModelRejectedError, match=r"crashed ONNX Runtime \(SIGFPE\)") as caught:
        await try_model(source(crashing), CPU, 60)
    assert f"'m' (version '1') at '{crashing}'" in str(caught.value)
    inputs = [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]
    assert server.infer("mlp", inputs).status == 200


async def test_model_that_never_ends_is_stopped_at_the_limit(endless: Path) -> None:
    with pytest.raises(ModelRejectedError, match=r"within 1\.5 seconds; if it only needs longer"):
        await try_model(source(endless), CPU, 1.5)
    assert children(os.getpid()) == set()


async def test_trial_that_is_killed_names_memory(endless: Path) -> None:
    trial = asyncio.create_task(try_model(source(endless), CPU, 60))
    os.kill(await asyncio.to_thread(wait_for_child, os.getpid()), signal.SIGKILL)
    with pytest.raises(ModelRejectedError, match=r"killed \(SIGKILL\).*raise the container's memory limit"):
        await trial


async def test_trial_that_is_cancelled_has_ended(endless: Path) -> None:
    trial = asyncio.create_task(try_model(source(endless), CPU, 60))
    await asyncio.to_thread(wait_for_child, os.getpid())
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    assert children(os.getpid()) == set()


@pytest.mark.parametrize(
    ("number", "workers", "code"),
    [(signal.SIGTERM, "1", 0), (signal.SIGTERM, "2", 0), (signal.SIGKILL, "1", -signal.SIGKILL)],
)
def test_server_that_ends_during_a_trial_leaves_no_process(
    endless: Path, number: signal.Signals, workers: str, code: int
) -> None:
    with server_process("--model", f"m={endless}", "--workers", workers) as server:
        server.wait_for("listening")
        child = wait_for_child(server.process.pid)
        assert server.end(number) == code
        wait_until_ended(child)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_server_of_a_crashing_model_exits_1_with_the_reason_as_last_line(
    crashing: Path, workers: str, model_files: dict[str, Path]
) -> None:
    code, text = run_to_the_end(
        "--model", f"mlp={model_files['mlp']}", "--model", f"m={crashing}", "--workers", workers
    )
    assert code == 1
    assert text.splitlines()[-1].startswith(
        f"ModelRejected: the model 'm' (version '1') at '{crashing}' crashed"
    )


def test_server_without_trials_loads_at_once(crashing: Path) -> None:
    code, _ = run_to_the_end("--model", f"m={crashing}", "--model-trial-seconds", "off")
    assert code == -signal.SIGFPE


@pytest.mark.parametrize("trial", ["60", "off"])
def test_sample_that_does_not_fit_ends_the_start_with_a_sentence(
    model_files: dict[str, Path], trial: str
) -> None:
    model = ("--model", f"mlp={model_files['mlp']}", "--model-trial-seconds", trial)
    code, text = run_to_the_end(*model, "--samples", "x:2x5")
    assert code == 1
    assert text.splitlines()[-1].startswith(
        "InvalidSettings: model 'mlp' (version '1'): --samples: input 'x' has shape [2, 5]"
    )


FORKED = """
import asyncio, sys
from collections.abc import Iterator
from pathlib import Path
from modelservice_runtime.errors import StartupError
from modelservice_runtime.models.trial import try_models
from modelservice_runtime.models.versions import VersionSource
from modelservice_runtime.models.forked_trial import fork_trial
from modelservice_runtime.protocols.oip.samples import decode_sample
from modelservice_runtime.settings.sessions import SessionSettings

process = fork_trial(decode_sample)
sources = [VersionSource("m", "1", Path(path)) for path in sys.argv[1:]]
with process:
    try:
        print(asyncio.run(try_models(sources, SessionSettings(("CPU",), 1), 60, asyncio.Event(), process)))
    except StartupError as error:
        print(error)
print(process.wait())
"""


def test_trial_in_a_copy_of_a_process_tells_what_became_of_each_model(
    model_files: dict[str, Path], crashing: Path
) -> None:
    def hold(*paths: Path) -> list[str]:
        command = [sys.executable, "-c", FORKED, *map(str, paths)]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        assert ended.stderr == ""
        return ended.stdout.splitlines()

    assert hold(model_files["mlp"], model_files["text"])[0] == "True"
    assert "crashed ONNX Runtime (SIGFPE)" in hold(model_files["mlp"], crashing)[0]
    # Nobody asked: it ends with the process that it is a copy of.
    assert hold()[-1] in ("0", "-9")


def test_trial_is_no_copy_of_a_process_with_threads() -> None:
    program = (
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "from modelservice_runtime.models.forked_trial import fork_trial; print(fork_trial(lambda *_: {}))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["None"]


@pytest.mark.parametrize("more", [[], ["--model-trial-seconds", "off"], ["--workers", "2"]])
def test_server_replays_the_proof_before_it_serves(tmp_path: Path, more: list[str]) -> None:
    path = onnx_models.save_identity(tmp_path / "model.onnx")
    model = load_onnx_model(path, "m", "1", CPU)
    (given,), (answered,) = model.spec.input_by_name, model.spec.output_by_name
    rows = np.ones((2, 4), np.float32)
    arguments = ["--model", f"m={path}", "--verify-proof", *more]
    write_proof(Proof((Case({given: rows}, {answered: 2 * rows}),)), tmp_path)
    code, text = run_to_the_end(*arguments)
    assert code != 0
    assert "ModelRejected" in text
    assert "row 0 is [1., 1., 1., 1.] instead of [2., 2., 2., 2.]" in text
    write_proof(Proof((Case({given: rows}, {answered: rows}),)), tmp_path)
    with server_process(*arguments) as server:
        server.wait_for("ready")
