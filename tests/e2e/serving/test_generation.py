"""Models that generate text on the real node: pushed as users push them, chatted with, changed, refused."""

import contextlib
import http.client
import json
from collections.abc import Hashable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hack.cluster.api import Object, condition_status
from hack.cluster.node import REGISTRY
from hack.load import CALL_SECONDS, Ask, Load
from tests.support.operator_process import wait_until
from tests.support.serving import SMALL, User, condition, is_current
from tests.support.tiny_chat import PAIRS, make_tiny_chat, write_adapter

from modelservice_cli.main import main
from modelservice_operator.facts.access_files import API_KEYS
from modelservice_runtime.auth.api_keys import api_key_line, new_api_key

NAME, ADAPTER = "chat", "law"
QUESTION, ANSWER = PAIRS[0]
CHANGED = "It is Paris, as I said."
UMLAUTS, GREETING = PAIRS[-1]
# Many steps, so that streams are under way whenever a pod leaves; a second on a busy machine.
TOKENS = 200
SETTINGS: Object = {"maxSequences": 4, "maxContextTokens": 512}


def push(user: User, folder: Path, tag: str) -> Object:
    """Push a folder by the command that users have; returns the manifest that it writes."""
    written = folder.with_suffix(".yaml")
    reference = f"{user.cluster.registry}/{user.namespace}/{NAME}:{tag}"
    flags = ["--cluster-registry", REGISTRY, "-n", user.namespace, "--yaml", str(written)]
    assert main(["model", "push", str(folder), reference, *flags]) == 0
    manifest: Object = yaml.safe_load(written.read_text())
    return manifest


def make_chat(folder: Path, pairs: Sequence[tuple[str, str]] = PAIRS) -> Path:
    """A model, and an adapter beside it."""
    make_tiny_chat(folder, pairs, adapted=True)
    (folder / "adapters").mkdir()
    write_adapter(folder / "adapters" / f"{ADAPTER}.onnx_adapter", folder, seed=1)
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chat(tmp_path_factory.mktemp("first") / NAME)


@pytest.fixture(scope="module")
def key(user: User) -> str:
    """A key that the service asks for."""
    made = new_api_key()
    secret = {"metadata": {"name": "keys"}, "stringData": {API_KEYS: api_key_line("web", made)}}
    user.cluster.api.create(user.path("secrets"), secret)
    return made


@pytest.fixture(scope="module")
def deployed(user: User, first: Path, key: str) -> Object:
    """The service, applied and waited for with kubectl."""
    manifest = push(user, first, "1")
    (adapter,) = manifest["spec"]["generation"]["adapters"]
    assert (adapter["name"], adapter["storageUri"]) == (ADAPTER, manifest["spec"]["model"]["storageUri"])
    manifest["spec"]["generation"] |= SETTINGS
    auth = {"apiKeys": {"secretName": "keys"}}
    manifest["spec"] |= {**SMALL, "auth": auth, "terminationGracePeriodSeconds": 60}
    user.kubectl.run("apply", "-f", "-", stdin=yaml.safe_dump(manifest))
    user.run_kubectl("wait", "--for=condition=Ready", f"msvc/{NAME}", "--timeout=150s")
    return user.service(NAME)


class Client:
    """One connection to the Service."""

    def __init__(self, user: User, key: str | None) -> None:
        self.connection = http.client.HTTPConnection(*user.address(NAME), timeout=CALL_SECONDS)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def post(self, route: str, **body: Any) -> http.client.HTTPResponse:
        headers = {"Content-Type": "application/json", **self._headers}
        self.connection.request("POST", f"/v1/{route}", json.dumps({"model": NAME, **body}), headers)
        return self.connection.getresponse()

    def chat(self, question: str, **body: Any) -> http.client.HTTPResponse:
        messages = [{"role": "user", "content": question}]
        return self.post("chat/completions", messages=messages, temperature=0, **body)

    def answer(self, question: str, **body: Any) -> str:
        response = self.chat(question, **body)
        content = response.read()
        assert response.status == http.client.OK, f"{response.status}: {content.decode()}"
        return str(json.loads(content)["choices"][0]["message"]["content"])


def events(response: http.client.HTTPResponse) -> list[Any]:
    """What the server-sent events of a stream hold; AssertionError where it does not end as one."""
    assert response.status == http.client.OK, f"{response.status}: {response.read().decode()}"
    lines = [line.strip() for line in response if line.strip()]
    assert lines[-1:] == [b"data: [DONE]"], f"the stream was cut after {len(lines)} events"
    return [json.loads(line.removeprefix(b"data: ")) for line in lines[:-1]]


@contextlib.contextmanager
def client(user: User, key: str | None) -> Iterator[Client]:
    made = Client(user, key)
    yield made
    made.connection.close()


@contextlib.contextmanager
def streaming(user: User, key: str) -> Iterator[Ask]:
    """A client of long streams; what is counted is how they end and how many tokens they had."""
    with client(user, key) as own:

        def ask() -> Hashable:
            body = {"max_tokens": TOKENS, "ignore_eos": True, "stream_options": {"include_usage": True}}
            seen = events(own.chat(QUESTION, stream=True, **body))
            finish = [choice["finish_reason"] for event in seen for choice in event["choices"]]
            return finish[-1], seen[-1]["usage"]["completion_tokens"]

        yield ask


def test_chat_through_the_service_is_the_exact_text(user: User, deployed: Object, key: str) -> None:
    with client(user, key) as own:
        wait_until(lambda: is_answered(user, key), "nodes know the way")
        assert own.answer(QUESTION) == ANSWER

        response = own.chat(UMLAUTS, stream=True)
        assert response.getheader("Content-Type", "").startswith("text/event-stream")
        deltas = [choice["delta"] for event in events(response) for choice in event["choices"]]
        pieces = [delta["content"] for delta in deltas if delta.get("content")]
        assert "".join(pieces) == GREETING
        assert len(pieces) > 1


def is_answered(user: User, key: str) -> bool:
    try:
        with client(user, key) as own:
            return bool(own.answer(QUESTION))
    except ConnectionResetError:
        return False


def test_an_adapter_answers_under_its_name_and_the_model_as_before(
    user: User, deployed: Object, key: str
) -> None:
    with client(user, key) as own:
        adapted = own.answer(QUESTION, model=ADAPTER, max_tokens=16)
        assert adapted != ANSWER
        assert own.answer(QUESTION) == ANSWER
        assert own.answer(QUESTION, model=ADAPTER, max_tokens=16) == adapted


def test_who_has_no_key_is_refused_as_openai_refuses(user: User, deployed: Object, key: str) -> None:
    for wrong in (None, "guessed"):
        with client(user, wrong) as own:
            response = own.chat(QUESTION)
            error = json.loads(response.read())["error"]
            assert (response.status, error["code"]) == (401, "invalid_api_key")


def test_metrics_are_under_the_names_of_vllm(user: User, deployed: Object) -> None:
    (pod,) = user.pods(NAME).values()
    port = user.cluster.forward(pod["status"]["podIP"], 8082)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_SECONDS)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    found = {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in lines if line[:5] == "vllm:"}
    assert found["vllm:generation_tokens_total"] > 0
    assert found["vllm:time_to_first_token_seconds_count"] > 0
    for gauge in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
        assert found[f"vllm:{gauge}"] == 0


def test_changes_under_streams_cut_none(
    user: User, deployed: Object, first: Path, key: str, tmp_path: Path
) -> None:
    """One to a model that only its trial shows to be broken, which never is Ready; one to a better one."""
    # Each stream has a connection of its own: that of a stream which ends while its pod leaves is closed.
    with Load([], [partial(streaming, user, key)] * 2, pause_seconds=0.2) as load:
        wait_until(lambda: load.count() > 2, "streams end")
        user.edit(NAME, push(user, make_broken(tmp_path / "broken" / NAME), "broken")["spec"])
        refused = user.wait(
            NAME,
            lambda one: is_current(one) and condition_status(one, "Degraded") == "True",
            "the broken model is refused",
        )
        assert "no finite scores" in condition(refused, "Degraded")["message"]
        assert condition_status(refused, "Available") == "True"

        pairs = [(QUESTION, CHANGED), *PAIRS[1:]]
        user.edit(NAME, push(user, make_chat(tmp_path / "second" / NAME, pairs), "2")["spec"])
        user.wait_ready(NAME)
        wait_until(lambda: len(user.items("pods", name=NAME)) == 1, "the pods before have left")
        changed_at = load.count()
        wait_until(lambda: load.count() > changed_at + 2, "streams of the new model end")
    assert load.failures == []
    assert load.answers.keys() == {("length", TOKENS)}
    with client(user, key) as own:
        assert own.answer(QUESTION) == CHANGED


def make_broken(folder: Path) -> Path:
    """A model whose last weights are no numbers."""
    weights = make_chat(folder) / "model.onnx.data"
    content = weights.read_bytes()
    weights.write_bytes(content[:-4096] + b"\xff" * 4096)
    return folder


def test_too_little_memory_is_told_before_anything_is_loaded(user: User, first: Path) -> None:
    manifest = push(user, first, "1")
    limits = {"limits": {"memory": "192Mi"}}
    generation = {"maxSequences": 512, "maxContextTokens": 1024}
    user.apply("narrow", **manifest["spec"] | {"generation": generation, "resources": limits})
    told = user.wait(
        "narrow", lambda one: "texts of" in condition(one, "Ready").get("message", ""), "what is needed"
    )
    message = condition(told, "Ready")["message"]
    assert "512 texts of 1024 tokens need 0.25 GiB for keys and values" in message
    assert "raise the memory limit, or lower spec.generation.maxSequences" in message
