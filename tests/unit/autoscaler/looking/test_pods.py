"""The questions to pods: whatever a pod does, it costs a second and a few bytes."""

import asyncio
import contextlib

import pytest
from tests.unit.autoscaler.objects import make_answer
from tests.unit.runtime.onnx_models import save_mlp
from tests.unit.runtime.server_thread import ServerThread

from modelservice_autoscaler.looking import pods as pods_module
from modelservice_autoscaler.looking.connection import LARGEST_ANSWER_BYTES
from modelservice_autoscaler.looking.looks import Looks
from modelservice_autoscaler.looking.pods import PodClient
from modelservice_autoscaler.watching.endpoints import Endpoint

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def http(body: bytes) -> bytes:
    """An answer as our server gives it."""
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Pod:
    """A pod on loopback; `answers` come one after the other, the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[bytes] = [http(make_answer())]
        self.questions: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.closes = False
        """Whether it closes each connection after an answer."""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while question := await reader.readuntil(b"\r\n\r\n"):
                self.questions.append(question)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                for at in range(0, len(answer), 10_000):
                    writer.write(answer[at : at + 10_000])
                    await writer.drain()
                if self.closes:
                    break
        writer.close()
        self.open -= 1


@pytest.fixture
async def pod():
    played = Pod()
    server = await asyncio.start_server(played.serve, "127.0.0.1", 0)
    played.port = server.sockets[0].getsockname()[1]
    yield played
    # What clients have closed comes to its end on this side too.
    for _ in range(1000):
        if played.open == 0:
            break
        await asyncio.sleep(0.01)
    server.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A pod that answers is waited for, however busy the machine is."""
    monkeypatch.setattr(pods_module, "TIMEOUT_SECONDS", 60.0)


@pytest.fixture
def client(pod) -> PodClient:
    return PodClient(pod.port)


@pytest.fixture
def connection(client):
    opened = client.connect("127.0.0.1")
    yield opened
    opened.close()


async def test_pod_is_asked_over_one_kept_connection(client, connection, pod):
    for _ in range(3):
        answer = await client.ask(connection)
        assert answer is not None
        assert answer.load.requests == 1000
    assert (len(pod.questions), pod.connections) == (3, 1)
    assert pod.questions[0] == b"GET /load HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % pod.port


async def test_real_server_is_asked_over_one_connection(tmp_path):
    with ServerThread({"mlp": save_mlp(tmp_path / "mlp.onnx")}) as server:
        client = PodClient(server.metrics_port)
        connection = client.connect("127.0.0.1")
        first = await client.ask(connection)
        kept = connection._transport
        server.infer("mlp", [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}])
        second = await client.ask(connection)
        assert kept is connection._transport
        connection.close()
    assert (first.load.requests, second.load.requests) == (0, 1)
    assert second.idle_seconds < 60


async def test_answer_in_pieces_is_one_answer(client, connection, pod):
    pod.answers = [http(make_answer(further="x" * 40_000))]
    assert await client.ask(connection) is not None


async def test_pod_that_closes_its_connections_is_asked_all_the_same(client, connection, pod):
    pod.closes = True
    for _ in range(5):
        assert await client.ask(connection) is not None
    assert pod.connections == 5


@pytest.mark.parametrize(
    "answer",
    [
        http(b"{}"),
        http(b" " * (LARGEST_ANSWER_BYTES + 1)),
        HEAD + b"Content-Length: 999999999999999\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        http(make_answer()) + b"and more",
        http(make_answer()).replace(b"200 OK", b"503 No"),
        http(make_answer()).replace(b"200 OK", b"302 Found").replace(b"Type", b"Location"),
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"x" * (LARGEST_ANSWER_BYTES + 1),
        HEAD,
    ],
    ids=range(12),
)
async def test_pod_that_does_not_answer_as_it_should_is_missing_once(
    client, connection, pod, answer, monkeypatch
):
    pod.answers = [answer, http(make_answer())]
    with monkeypatch.context() as hasty:
        if answer == HEAD:  # half an answer
            hasty.setattr(pods_module, "TIMEOUT_SECONDS", 1.0)
        assert await client.ask(connection) is None
    assert len(pod.questions) == 1
    assert await client.ask(connection) is not None


async def test_late_answer_is_not_taken_for_the_next_one(client, connection, pod, monkeypatch):
    first, second = http(make_answer(requests=1)), http(make_answer(requests=2))
    pod.answers = [first[:-10], first[-10:] + second, second]
    with monkeypatch.context() as hasty:
        hasty.setattr(pods_module, "TIMEOUT_SECONDS", 0.1)
        assert await client.ask(connection) is None
    answer = await client.ask(connection)
    assert answer is None or answer.load.requests == 2


async def test_pod_that_is_gone_is_missing():
    client = PodClient(port=1)
    assert await client.ask(client.connect("127.0.0.1")) is None


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


A = Endpoint("a", "127.0.0.1")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def looks(client, clock):
    made = Looks(client, clock)
    yield made
    made.close()


async def test_looks_keep_the_newest_answer_of_ready_pods_and_forget_others(looks, clock, pod):
    await looks.look([A, Endpoint("b", "127.0.0.1")])
    clock.now = 5.0
    pod.answers = [http(b"{}")]
    await looks.look([A, Endpoint("c", "127.0.0.1")])
    assert set(looks.samples) == {"a", "c"}
    assert looks.samples["c"] is None
    assert looks.samples["a"] is not None
    assert looks.samples["a"].at_seconds == 0.0


async def test_service_is_idle_as_long_as_its_busiest_pod_and_only_where_all_answer(looks, pod):
    assert looks.idle_seconds is None
    await looks.look([])
    assert looks.idle_seconds is None
    pod.answers = [http(make_answer(idleSeconds=one)) for one in (400.0, 20.0)]
    await looks.look([A, Endpoint("b", "127.0.0.1")])
    assert looks.idle_seconds == 20.0
    pod.answers = [http(make_answer(idleSeconds=400.0)), http(b"{}")]
    await looks.look([A, Endpoint("b", "127.0.0.1")])
    assert looks.idle_seconds is None


async def test_service_is_busy_where_requests_were_in_a_pod_between_two_looks(looks, pod):
    await looks.look([A])
    await looks.look([A])
    assert not looks.is_busy
    pod.answers = [http(make_answer(requests=1001))]
    await looks.look([A])
    assert looks.is_busy
    await looks.look([A])
    assert not looks.is_busy
    pod.answers = [http(b"{}")]
    await looks.look([A, Endpoint("new", "127.0.0.1")])
    assert looks.is_busy


async def test_connections_go_with_their_pods_and_with_the_looks(looks, pod):
    await looks.look([A, Endpoint("b", "127.0.0.1")])
    assert len(looks._connections) == 2
    await looks.look([A])
    assert set(looks._connections) == {"a"}
    looks.close()
    assert not looks._connections
