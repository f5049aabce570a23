"""The ONNX project's own operator tests (`onnx.backend.test`), sent through a real server."""

import asyncio
import ctypes
import enum
import importlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import grpc
import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from tests.conformance import wire
from tests.unit.runtime.server_thread import ServerThread
from tritonclient.grpc import service_pb2

from modelservice_runtime.errors import ModelLoadFailedError, ModelRejectedError
from modelservice_runtime.execution.lane import Lane
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.models.learning import learn
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.onnx.errors import RUN_ERRORS
from modelservice_runtime.onnx.model import OnnxModel, load_onnx_model
from modelservice_runtime.settings.lanes import LaneSettings
from modelservice_runtime.settings.sessions import SessionSettings

# Their outputs are random; only shapes and datatypes can be compared.
_RANDOM = (
    "test_bernoulli",
    "test_randomnormal",
    "test_randomuniform",
    "test_multinomial",
    "test_training_dropout",
)

# What ONNX Runtime 1.31 reads.
_NEWEST_IR_VERSION = 13
_NEWEST_OPSET = 26


class Outcome(enum.StrEnum):
    """What became of a case."""

    SAME = "same as the reference"
    ENGINE_DIFFERS = "carried exactly, but ONNX Runtime's result is not the reference's"
    ENGINE_FAILS = "ONNX Runtime itself fails on this input, and the server says so"
    UNEQUAL = "the output is a sequence of unequal tensors, and the server says so"
    REJECTED = "refused at load: a type that no protocol can send"
    NOT_LOADED = "ONNX Runtime has no such operator or type"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Verdict:
    """The outcome of one case, with what was seen."""

    outcome: Outcome
    detail: str = ""
    datatypes: frozenset[str] = frozenset()
    shapes: frozenset[tuple[int, ...]] = frozenset()
    sent_as_json: bool = False


class UnequalError(Exception):
    """The tensors of a sequence are none together."""


def load_cases(modules: Sequence[str] | None = None) -> list[Any]:
    """All operator cases, or those of some modules of `onnx.backend.test.case.node`.

    The cases are made when their module is imported, which for all of them takes eight seconds.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case import node

        if modules is None:
            from onnx.backend.test.loader import load_model_tests

            return list(load_model_tests(kind="node"))
        for name in modules:
            importlib.import_module(f"onnx.backend.test.case.node.{name}")
    # Whatever else imported them in this process, the list has all modules that ever were.
    return [case for case in node._NodeTestCases if _is_of(case.model.graph.node, modules)]


def _is_of(nodes: Sequence[onnx.NodeProto], modules: Sequence[str]) -> bool:
    operator = nodes[0].op_type.lower()
    return len(nodes) == 1 and not {operator, f"{operator}op"}.isdisjoint(modules)


# A request that comes again is answered in other ways, the last one from the fourth time on.
_TIMES = 5


class RefusedError(Exception):
    """The server answered with an error."""


class Sweep:
    """Loads one case after the other into a running server and asks it in every form; use with `with`."""

    def __init__(self, server: ServerThread, directory: Path) -> None:
        self._server = server
        self._path = directory / "model.onnx"
        self._channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")
        self._infer = self._channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def check(self, case: Any) -> Verdict:
        """Load the case's model, send every data set in every form, and compare."""
        onnx.save(_lowered(case.model), self._path)
        try:
            model = load_onnx_model(self._path, case.name, "1", SessionSettings(("CPU",), 1))
        except ModelRejectedError as error:
            return Verdict(Outcome.REJECTED, str(error))
        except ModelLoadFailedError as error:
            return Verdict(Outcome.NOT_LOADED, str(error))
        self._publish(model)
        verdicts = [self._check_data(case, model, *data) for data in case.data_sets]
        return max(verdicts, key=lambda verdict: list(Outcome).index(verdict.outcome))

    def _publish(self, model: OnnxModel) -> None:
        async def publish() -> None:
            lane = Lane(model, LaneSettings(), ModelStatistics(), self._server.loop, learn(model))
            self._server.table.publish(ModelHandle(model.spec, lane, ModelStatistics()))

        asyncio.run_coroutine_threadsafe(publish(), self._server.loop).result(60)

    def _check_data(
        self, case: Any, model: OnnxModel, given: Sequence[Any], wanted: Sequence[Any]
    ) -> Verdict:
        names = [tensor.name for tensor in model.spec.inputs]
        inputs = dict(zip(names, map(_to_array, given), strict=True))
        try:
            expected = _carried_outputs(case, model, wanted)
        except UnequalError:
            return self._check_unequal(case, inputs)
        sent_as_json = wire.is_exact_in_json(inputs)
        problems, engine = [], None
        try:
            for got in self._answers(case.name, inputs, sent_as_json=sent_as_json):
                difference = _difference(case, got, expected)
                if difference is not None:
                    engine = engine or _run_directly(self._path, inputs, list(expected))
                    problems.append((difference, _difference(case, got, engine, exact=True)))
        except RefusedError as error:
            runs = self._engine_runs(inputs, list(expected))
            return Verdict(Outcome.FAILED if runs else Outcome.ENGINE_FAILS, str(error))
        tensors = (*inputs.values(), *expected.values())
        seen = Verdict(
            Outcome.SAME,
            datatypes=frozenset(map(wire.datatype, tensors)),
            shapes=frozenset(tensor.shape for tensor in tensors),
            sent_as_json=sent_as_json,
        )
        for difference, from_engine in problems:
            if from_engine is not None:
                return replace(seen, outcome=Outcome.FAILED, detail=from_engine)
            seen = replace(seen, outcome=Outcome.ENGINE_DIFFERS, detail=difference)
        return seen

    def _check_unequal(self, case: Any, inputs: Mapping[str, np.ndarray]) -> Verdict:
        try:
            list(self._answers(case.name, inputs, sent_as_json=False))
        except RefusedError as error:
            told = "is a sequence of tensors of the shapes" in str(error)
            return Verdict(Outcome.UNEQUAL if told else Outcome.FAILED, str(error))
        return Verdict(Outcome.FAILED, "a sequence of unequal tensors came back as a tensor")

    def _answers(
        self, model: str, inputs: Mapping[str, np.ndarray], *, sent_as_json: bool
    ) -> Iterator[dict[str, np.ndarray]]:
        """Ask in every form: binary data and JSON (where it is exact) several times, and gRPC."""
        bodies = [wire.binary_body(inputs), *([wire.json_body(inputs)] if sent_as_json else [])]
        for body in bodies * _TIMES:
            answer = self._server.request("POST", f"/v2/models/{model}/infer", body.content, body.headers)
            if answer.status != 200:
                raise RefusedError(f"{answer.status} {answer.body[:300]!r}")
            yield wire.outputs(answer.body, answer.headers)
        try:
            yield wire.grpc_outputs(self._infer(wire.grpc_request(model, inputs), timeout=60))
        except grpc.RpcError as error:
            raise RefusedError(str(error)) from error

    def _engine_runs(self, inputs: Mapping[str, np.ndarray], names: Sequence[str]) -> bool:
        try:
            _run_directly(self._path, inputs, names)
        except RUN_ERRORS:
            return False
        return True


def _carried_outputs(case: Any, model: OnnxModel, wanted: Sequence[Any]) -> dict[str, np.ndarray]:
    names = [output.name for output in case.model.graph.output]
    return {
        name: _stacked(value) if isinstance(value, list) else _to_array(value)
        for name, value in zip(names, wanted, strict=True)
        if name in model.spec.output_by_name
    }


def _stacked(sequence: Sequence[Any]) -> np.ndarray:
    """A sequence as the server carries it."""
    tensors = [_to_array(value) for value in sequence]
    if len({tensor.shape for tensor in tensors}) != 1:
        raise UnequalError
    return np.stack(tensors)


def _lowered(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in the newest form that ONNX Runtime reads: the cases are ahead of its releases."""
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    lowered.ir_version = min(model.ir_version, _NEWEST_IR_VERSION)
    for opset in lowered.opset_import:
        if opset.domain == "":
            opset.version = min(opset.version, _NEWEST_OPSET)
    return lowered


def _difference(
    case: Any, got: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray], *, exact: bool = False
) -> str | None:
    """What is not as wanted, within the case's own tolerance; None where nothing is."""
    if set(got) != set(wanted):
        return f"outputs {sorted(got)} instead of {sorted(wanted)}"
    for name, expected in wanted.items():
        actual = got[name]
        if actual.dtype != expected.dtype or actual.shape != expected.shape:
            return (
                f"output {name}: {actual.dtype} {actual.shape} instead of {expected.dtype} {expected.shape}"
            )
        if case.name.startswith(_RANDOM):
            continue
        if not _equal(actual, expected, 0 if exact else case.rtol, 0 if exact else case.atol):
            return f"output {name}: {actual.ravel()[:5]} instead of {expected.ravel()[:5]}"
    return None


def _equal(actual: np.ndarray, expected: np.ndarray, rtol: float, atol: float) -> bool:
    if actual.dtype == object or actual.dtype.kind in "iub":
        return np.array_equal(actual, expected)
    if rtol == 0:
        # Bit for bit, whichever NaN it is.
        return actual.tobytes() == expected.tobytes() or np.array_equal(
            actual.astype(np.float64), expected.astype(np.float64), equal_nan=True
        )
    wide = (actual.astype(np.float64), expected.astype(np.float64))
    return np.allclose(*wide, rtol=rtol, atol=atol, equal_nan=True)


def _run_directly(
    path: Path, inputs: Mapping[str, np.ndarray], names: Sequence[str]
) -> dict[str, np.ndarray]:
    """ONNX Runtime's own results, without anything of the server."""
    options = ort.SessionOptions()
    options.log_severity_level = 4  # its errors come as exceptions too
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    values = {name: _to_ort_value(array) for name, array in inputs.items()}
    return {
        name: _from_ort_value(value)
        for name, value in zip(names, session.run_with_ort_values(list(names), values), strict=True)
    }


def _to_ort_value(array: np.ndarray) -> Any:
    if array.dtype == ml_dtypes.bfloat16:
        bits = np.ascontiguousarray(array).view(np.uint16)
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, onnx.TensorProto.BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def _from_ort_value(value: Any) -> np.ndarray:
    if value.element_type() != onnx.TensorProto.BFLOAT16:
        return np.array(value.numpy())
    shape = value.shape()
    content = ctypes.string_at(value.data_ptr(), 2 * math.prod(shape)) if math.prod(shape) else b""
    return np.frombuffer(content, ml_dtypes.bfloat16).reshape(shape)


def _to_array(value: Any) -> np.ndarray:
    """The cases hold arrays, tensors of types that numpy lacks, and numpy's fixed-width strings."""
    array = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
    return array.astype(object) if array.dtype.kind in "SUO" else array
