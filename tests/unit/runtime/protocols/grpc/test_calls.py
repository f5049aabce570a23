"""How calls go: answers now and later, in order, deadlines, cancellation, and a server that leaves."""

import asyncio

import numpy as np
import pytest
from tests.unit.runtime.gated_model import FAST, SLOW, GatedModel, entered, make_lane
from tests.unit.runtime.protocols.oip.oip_messages import FakeCall, make_request

from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.model import WarmUp
from modelservice_runtime.models.health import Health
from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.protocols.grpc_services import build_grpc_services
from modelservice_runtime.protos import inference_pb2 as pb
from modelservice_runtime.protos.health_pb2 import HealthCheckRequest, HealthCheckResponse
from modelservice_runtime.transport.grpc.open_streams import OpenStreams
from modelservice_runtime.transport.grpc.stream import CallHandler
from modelservice_runtime.transport.status import GrpcError, GrpcStatus

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
WATCH = "/grpc.health.v1.Health/Watch"


class Server:
    """The services over one gated model."""

    def __init__(self, warm_up: WarmUp) -> None:
        self.model = GatedModel()
        self.lane = make_lane(self.model, warm_up)
        self.table = ModelTable()
        self.statistics = ModelStatistics()
        self.table.publish(ModelHandle(self.model.spec, self.lane, self.statistics))
        self.health = Health(self.table)
        self.streams = OpenStreams()
        loop = asyncio.get_running_loop()
        self.services = build_grpc_services(self.table, self.health, self.streams, loop)

    def open(self, path: str, call: FakeCall | None = None) -> tuple[FakeCall, CallHandler]:
        call = call or FakeCall()
        return call, self.services[path](call)


def message(*values: float, **fields: object) -> bytes:
    request = make_request(shape=[len(values)], **fields)
    request.raw_input_contents.append(np.array(values, np.float32).tobytes())
    return request.SerializeToString()


def doubled(answer: bytes) -> list[float]:
    response = pb.ModelInferResponse.FromString(answer)
    return np.frombuffer(response.raw_output_contents[0], np.float32).tolist()


def statuses(call: FakeCall) -> list[int]:
    return [HealthCheckResponse.FromString(sent).status for sent in call.sent]


def send_all(handler: CallHandler, *messages: bytes) -> None:
    for each in messages:
        handler.on_message(each)
    handler.on_end()


async def test_infer_of_a_fast_model_answers_at_once() -> None:
    server = Server(FAST)
    call, handler = server.open(INFER)
    handler.on_message(message(1, 2))
    assert call.sent == []  # the client may still send too much
    handler.on_end()
    assert doubled(call.sent[0]) == [2, 4]
    assert call.finished == (GrpcStatus.OK, "")
    assert server.statistics.success_count == 1


async def test_infer_of_a_slow_model_answers_later() -> None:
    server = Server(SLOW)
    call, handler = server.open(INFER)
    handler.on_message(message(3))
    handler.on_end()
    await entered(server.model)
    assert call.finished is None
    server.model.gate.set()
    assert await call.until_finished() == (GrpcStatus.OK, "")
    assert doubled(call.sent[0]) == [6]


@pytest.mark.parametrize("count", [0, 2])
async def test_infer_with_another_number_of_messages_than_one_is_refused(count: int) -> None:
    _, handler = Server(FAST).open(INFER)
    with pytest.raises(GrpcError, match="takes one request") as refused:
        send_all(handler, *[message(1)] * count)
    assert refused.value.status is GrpcStatus.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\xff\xff", GrpcStatus.INVALID_ARGUMENT),
        (message(1, model="unknown"), GrpcStatus.NOT_FOUND),
        (message(1, model_version="9"), GrpcStatus.NOT_FOUND),
        (message(1, datatype="FP64"), GrpcStatus.INVALID_ARGUMENT),
    ],
)
async def test_infer_error_has_its_status(data: bytes, status: GrpcStatus) -> None:
    _, handler = Server(FAST).open(INFER)
    handler.on_message(data)
    with pytest.raises(GrpcError) as refused:
        handler.on_end()
    assert refused.value.status is status


@pytest.mark.parametrize("by_parameter", [True, False])
async def test_the_shorter_timeout_ends_the_request(by_parameter: bool) -> None:
    server = Server(SLOW)
    call, handler = server.open(INFER, FakeCall(timeout_seconds=1000 if by_parameter else 0.02))
    parameters = {"timeout": pb.InferParameter(int64_param=20_000 if by_parameter else 10**9)}
    handler.on_message(message(1, parameters=parameters))
    handler.on_end()
    status, sentence = await call.until_finished()
    assert (status, "timeout passed" in sentence) == (GrpcStatus.DEADLINE_EXCEEDED, True)


async def test_cancel_stops_the_run() -> None:
    server = Server(SLOW)
    _, handler = server.open(INFER)
    handler.on_message(message(1))
    handler.on_end()
    await entered(server.model)
    handler.on_cancel()
    assert server.lane.pending == 0
    assert server.statistics.failures["CANCELED"] == 1
    handler.on_cancel()
    assert server.statistics.failures["CANCELED"] == 1


def answers(call: FakeCall) -> list[tuple[str, str]]:
    """Id and error of every answer of a stream."""
    parsed = [pb.ModelStreamInferResponse.FromString(answer) for answer in call.sent]
    return [(answer.infer_response.id, answer.error_message) for answer in parsed]


async def test_stream_answers_in_the_order_of_the_requests_and_survives_errors() -> None:
    server = Server(SLOW)
    call, handler = server.open(STREAM)
    handler.on_message(message(1, id="a"))
    handler.on_message(message(1, id="b", model="unknown"))
    handler.on_message(b"\xff")
    handler.on_message(message(2, id="c"))
    handler.on_end()
    assert (call.sent, call.finished) == ([], None)
    server.model.gate.set()
    assert await call.until_finished() == (GrpcStatus.OK, "")
    assert [request_id for request_id, _ in answers(call)] == ["a", "b", "", "c"]
    assert ["unknown" in error for _, error in answers(call)] == [False, True, False, False]


async def test_stream_error_names_the_request_even_when_its_head_is_wrong() -> None:
    call, handler = Server(FAST).open(STREAM)
    parameters = {"timeout": pb.InferParameter(int64_param=-1)}
    handler.on_message(message(1, id="a", parameters=parameters))
    ((request_id, error),) = answers(call)
    assert (request_id, "'timeout'" in error) == ("a", True)


async def test_stream_of_a_fast_model_answers_each_request_at_once() -> None:
    call, handler = Server(FAST).open(STREAM)
    for number in range(3):
        handler.on_message(message(1, id=str(number)))
        assert answers(call)[-1] == (str(number), "")
    assert call.finished is None
    handler.on_end()
    assert call.finished == (GrpcStatus.OK, "")


async def test_cancelled_stream_stops_all_of_its_requests() -> None:
    server = Server(SLOW)
    call, handler = server.open(STREAM)
    for number in range(4):
        handler.on_message(message(number))
    await entered(server.model)
    handler.on_cancel()
    assert (server.lane.pending, server.statistics.failures["CANCELED"]) == (0, 4)
    assert (call.sent, call.finished) == ([], None)


async def test_leaving_server_ends_streams_when_they_are_idle() -> None:
    server = Server(SLOW)
    idle, _idle_handler = server.open(STREAM)
    busy, busy_handler = server.open(STREAM)
    watcher, watching = server.open(WATCH)
    busy_handler.on_message(message(1, id="a"))
    watching.on_message(b"")
    watching.on_end()
    await entered(server.model)
    server.streams.end_all()
    assert idle.finished is not None
    assert idle.finished[0] is GrpcStatus.UNAVAILABLE
    assert watcher.finished == idle.finished
    assert busy.finished is None
    server.model.gate.set()
    assert await busy.until_finished() == idle.finished
    assert answers(busy) == [("a", "")]


async def test_watch_tells_every_change_once() -> None:
    server = Server(FAST)
    call, handler = server.open(WATCH)
    handler.on_message(HealthCheckRequest(service="inference.GRPCInferenceService").SerializeToString())
    handler.on_end()
    server.health.start_draining()
    await call.until_sent(2)
    handler.on_cancel()
    assert statuses(call) == [HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING]


async def test_watch_of_an_unknown_service_is_an_answer() -> None:
    call, handler = Server(FAST).open(WATCH)
    handler.on_message(HealthCheckRequest(service="nothing").SerializeToString())
    handler.on_end()
    handler.on_cancel()
    assert statuses(call) == [HealthCheckResponse.SERVICE_UNKNOWN]


@pytest.mark.parametrize("data", [b"\xff", bytes(70_000)])
async def test_methods_refuse_what_is_no_request(data: bytes) -> None:
    server = Server(FAST)
    for path in server.services:
        if path != STREAM:
            _, handler = server.open(path)
            with pytest.raises(GrpcError) as refused:
                send_all(handler, data)
            assert refused.value.status is GrpcStatus.INVALID_ARGUMENT, path
