"""`modelservice chat` talks to a server of OpenAI's API: what it sends, shows, and says when it fails."""

import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.runtime.protocols.openai.played_model import make_model
from tests.unit.runtime.protocols.openai.test_vectors import save_encoder
from tests.unit.runtime.server_thread import ServerThread

from modelservice_cli.chat.client import ChatClient
from modelservice_cli.chat.run import shown
from modelservice_cli.commands import run


class Played:
    """A server that answers with what a test wants it to, and keeps what it was sent."""

    def __init__(self, *answers: bytes, status: int = 200, models: tuple[str, ...] = ("chat",)) -> None:
        self.answers, self.status, self.models = list(answers), status, models
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.headers: list[dict[str, str]] = []
        self.prefix = ""
        self.documents: dict[str, Any] = {}

    def described(self, name: str) -> dict[str, Any]:
        """`chat:law` is the adapter law of chat."""
        parent, _, adapter = name.rpartition(":")
        return {"id": adapter, "parent": parent or None}

    @contextmanager
    def served(self) -> Iterator[str]:
        played = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                played.headers.append(dict(self.headers))
                models = {"data": [played.described(name) for name in played.models]}
                found = {f"{played.prefix}/v1/models": models, **played.documents}.get(self.path)
                sentence = {"kind": "Status", "message": f"{self.path} is forbidden"}
                self.reply(403 if found is None else 200, json.dumps(found or sentence).encode())

            def do_POST(self) -> None:
                played.headers.append(dict(self.headers))
                played.keys.append(self.headers["Authorization"])
                played.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                assert self.path == f"{played.prefix}/v1/chat/completions"
                self.reply(played.status, played.answers.pop(0))

            def reply(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(content)

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()


def stream(*pieces: str, end: str = "data: [DONE]\n\n") -> bytes:
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces), {}]
    events = [json.dumps({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas]
    usage = json.dumps({"choices": [], "usage": {}})
    return ("".join(f"data: {event}\n\n" for event in [*events, usage]) + end).encode()


def chat(monkeypatch: pytest.MonkeyPatch, url: str, typed: str, *flags: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    return run(["chat", url, *flags])


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_chat_sends_all_that_was_said_and_shows_the_answers(monkeypatch, capsys, suffix):
    played = Played(stream("Schöne ", "Grüße 🙂"), stream("2"))
    with played.served() as url:
        code = chat(
            monkeypatch, url + suffix, "Grüße!\n\nOne?\n", "--system", "Be brief.", "--max-tokens", "9"
        )

    assert code == 0
    assert capsys.readouterr().out == "Schöne Grüße 🙂\n2\n"
    first, second = played.asked
    assert first == {
        "model": "chat",
        "max_tokens": 9,
        "stream": True,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße!"}],
    }
    assert second["messages"][2:] == [
        {"role": "assistant", "content": "Schöne Grüße 🙂"},
        {"role": "user", "content": "One?"},
    ]
    assert played.keys == [None, None]


def test_chat_sends_the_key_of_a_file_and_temperature_zero(monkeypatch, tmp_path: Path):
    (tmp_path / "key").write_text("secret-1\n")
    played = Played(stream("a"))
    with played.served() as url:
        flags = ("--api-key-file", str(tmp_path / "key"), "--model", "other", "--temperature", "0")
        assert chat(monkeypatch, url, "b\n", *flags) == 0

    assert played.keys == ["Bearer secret-1"]
    assert (played.asked[0]["model"], played.asked[0]["temperature"]) == ("other", 0)


def save_kubeconfig(path: Path, server: str) -> Path:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "secret-token"}}],
        "contexts": [{"name": "k", "context": {"cluster": "c", "user": "u", "namespace": "mail"}}],
        "current-context": "k",
    }
    path.write_text(yaml.safe_dump(config))
    return path


SERVICE = "/apis/modelservice.dev/v1alpha1/namespaces/{}/modelservices/helper"
ASLEEP = {
    "status": {
        "url": "http://h/v2/models/h",
        "conditions": [{"type": "Ready", "status": "True", "reason": "ScaledToZero"}],
    }
}
PROXY = "/api/v1/namespaces/{}/services/http:helper:80/proxy"


@pytest.mark.parametrize(("flags", "namespace"), [((), "mail"), (("-n", "web"), "web")])
def test_chat_with_a_service_goes_through_the_api_server(monkeypatch, capsys, tmp_path, flags, namespace):
    monkeypatch.setenv("CHAT_KEY", "secret-1")
    played = Played(stream("Hi"), models=("llama",))
    played.prefix = PROXY.format(namespace)
    status = {"url": f"http://helper.{namespace}.svc/v2/models/llama"}
    played.documents[SERVICE.format(namespace)] = {"spec": {}, "status": status}
    with played.served() as url:
        where = ("--kubeconfig", str(save_kubeconfig(tmp_path / "kubeconfig", url)), *flags)
        assert chat(monkeypatch, "helper", "b\n", "--api-key-env", "CHAT_KEY", *where) == 0

    assert capsys.readouterr().out == "Hi\n"
    assert played.asked[0]["model"] == "llama"
    for headers in played.headers[1:]:  # the API server passes the one on, and keeps the other
        assert (headers["X-Api-Key"], headers["Authorization"]) == ("secret-1", "Bearer secret-token")


@pytest.mark.parametrize(
    ("documents", "flags", "sentence"),
    [
        ({SERVICE.format("mail"): {"spec": {}}}, (), "does not answer yet"),
        ({SERVICE.format("mail"): {"status": {"url": "http://h/v2/models/h"}}}, (), "v1/models is forbidden"),
        ({SERVICE.format("mail"): ASLEEP}, (), "'kubectl scale msvc/helper -n mail --replicas=1' does"),
        ({}, ("--token-file", "token"), "are for URLs"),
        ({}, ("--api-key-env", "NOT_SET"), "NOT_SET is not set"),
    ],
)
def test_chat_says_why_a_service_is_not_reached(
    monkeypatch, capsys, tmp_path: Path, documents, flags, sentence
):
    (tmp_path / "token").write_text("t")
    monkeypatch.chdir(tmp_path)
    played = Played()
    played.prefix = "/elsewhere"
    played.documents = documents
    with played.served() as url:
        where = ("--kubeconfig", str(save_kubeconfig(tmp_path / "kubeconfig", url)), *flags)
        assert chat(monkeypatch, "helper", "b\n", *where) == 1

    assert sentence in capsys.readouterr().err


class Typed(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_failure_ends_no_talk_of_somebody_who_types(monkeypatch, capsys):
    lines = ["a", "b", "c"]

    def type_line(_prompt: str) -> str:
        if not lines:
            raise EOFError
        return lines.pop(0)

    monkeypatch.setattr("sys.stdin", Typed())
    monkeypatch.setattr("builtins.input", type_line)
    broken = b'data: {"error": {"message": "too long\\u001b[2J"}}\n\n'
    played = Played(stream("Hi"), broken, stream("Ho"))
    with played.served() as url:
        assert run(["chat", url]) == 0

    told = capsys.readouterr()
    assert told.err == "modelservice: the answer ends: too long\\x1b[2J\n"
    assert told.out.endswith("Hi\n\nHo\n")
    assert [one["content"] for one in played.asked[2]["messages"]] == ["a", "Hi", "c"]


def in_a_process(url: str, stdout: int = subprocess.PIPE, **environment: str) -> Any:
    program = [sys.executable, "-m", "modelservice_cli.main", "chat", url]
    known = {**os.environ, **environment}
    return subprocess.run(
        program, input=b"a\n", stdout=stdout, stderr=subprocess.PIPE, env=known, check=False, timeout=120
    )


def test_chat_sends_characters_alone_whatever_is_typed_or_told(monkeypatch):
    """Half of a pair of surrogates is no character, and a server's parser refuses the conversation for it."""
    played = Played(stream("\ud83d", "\ude42 \ud83d!"), stream("b"))
    with played.served() as url:
        assert chat(monkeypatch, url, "Gr\udcfc\udcdfe\nOne?\n") == 0
    said = [message["content"] for message in played.asked[1]["messages"]]
    assert said == ["Gr\ufffd\ufffde", "🙂 \ufffd!", "One?"]


def test_chat_tells_letters_that_the_terminal_lacks_by_their_numbers():
    played = Played(stream("Grüße 🙂"))
    with played.served() as url:
        ended = in_a_process(url, PYTHONIOENCODING="latin-1")
    assert (ended.returncode, ended.stdout) == (0, "Grüße \\U0001f642\n".encode("latin-1")), ended.stderr


def test_chat_ends_without_a_crash_where_nobody_reads_its_answers():
    played = Played(stream("word " * 100_000))
    with played.served() as url:
        read_end, write_end = os.pipe()
        os.close(read_end)
        ended = in_a_process(url, write_end)
        os.close(write_end)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_ctrl_c_before_the_talk_is_no_crash(monkeypatch):
    def interrupt(_client: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ChatClient, "models", interrupt)
    assert chat(monkeypatch, "http://127.0.0.1:1", "a\n") == 130


def test_chat_says_that_the_list_of_models_broke_off(monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def break_off() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{")

        threading.Thread(target=break_off, daemon=True).start()
        assert chat(monkeypatch, url, "a\n") == 1
    assert "the answer broke off" in capsys.readouterr().err


FAILURES = {
    "refused": (
        Played(b'{"error": {"message": "the prompt is too long"}}', status=400),
        "answers 400: the prompt is too long",
    ),
    "a key missing": (
        Played(b'{"error": {"message": "this server needs a key"}}', status=401),
        "answers 401: this server needs a key (--api-key-file FILE or --api-key-env NAME)",
    ),
    "refused by another": (Played(b"<html>", status=502), "answers 502: Bad Gateway"),
    "error in the stream": (
        Played(stream("a", end='data: {"error": {"message": "the server is leaving"}}\n\n')),
        "the answer ends: the server is leaving",
    ),
    "broken off": (Played(stream("a", end="")), "the answer broke off"),
    "no chunks": (
        Played(b'data: {"choices": [1, {"delta": "a"}, {"delta": null}]}\n\ndata: {"choices": "b"}\n\n'),
        "the answer broke off",
    ),
    "no model": (Played(models=()), "no model that generates text"),
    "which model": (Played(models=("a", "b")), "which model? --model takes one of a, b"),
}


@pytest.mark.parametrize(("flags", "asked"), [((), "chat"), (("--model", "law"), "law")])
def test_chat_talks_to_the_model_itself_where_it_has_adapters(monkeypatch, capsys, flags, asked):
    played = Played(stream("a"), models=("chat:law", "chat", "chat:poet"))
    with played.served() as url:
        assert chat(monkeypatch, url, "b\n", *flags) == 0
    assert [one["model"] for one in played.asked] == [asked]


@pytest.mark.parametrize("kind", FAILURES)
def test_chat_says_why_it_cannot_go_on(monkeypatch, capsys, kind):
    played, sentence = FAILURES[kind]
    with played.served() as url:
        assert chat(monkeypatch, url, "b\n") == 1

    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("Chat", "is no URL of a server"),
        ("ftp://a", "is no URL of a server"),
        ("http://a:b", "is no URL"),
        ("http://127.0.0.1:1", "cannot ask 127.0.0.1:1: no server listens there (yet)"),
    ],
)
def test_chat_refuses_what_is_no_server(monkeypatch, capsys, url, sentence):
    assert chat(monkeypatch, url, "b\n") == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "", "two\nlines"])
def test_chat_refuses_files_without_a_key(monkeypatch, capsys, tmp_path: Path, content):
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)

    assert chat(monkeypatch, "http://127.0.0.1:1", "b\n", "--api-key-file", str(file)) == 1
    assert str(file) in capsys.readouterr().err


def test_what_a_model_says_is_no_command_to_the_terminal():
    assert shown("a\x1b[2Jb\r\u202e") == "a\\x1b[2Jb\\r\\u202e"
    assert shown("👩\u200d👧 é\n\tx\xa0y") == "👩\u200d👧 é\n\tx\xa0y"


def test_chat_takes_no_model_of_vectors_for_one_that_generates(monkeypatch, capsys, tmp_path):
    encoder = save_encoder(tmp_path / "encoder.onnx")
    with ServerThread({"encoder": encoder}) as server:
        url = f"http://127.0.0.1:{server.port}"
        assert chat(monkeypatch, url, "Hello?\n") == 1
        assert "no model that generates text: one with genai_config.json" in capsys.readouterr().err
    model = make_model()
    with ServerThread(
        {"encoder": encoder}, publish=lambda server: server.table.publish_generative(model)
    ) as server:
        assert chat(monkeypatch, f"http://127.0.0.1:{server.port}", "Hello?\n") == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("scheme", "port", "sentence"),
    [
        ("https", "port", "it does not speak TLS: take http://"),
        ("http", "grpc_port", "it does not answer in HTTP/1.1: take the server's HTTP port"),
    ],
)
def test_chat_says_what_a_port_speaks_that_it_does_not(monkeypatch, capsys, scheme, port, sentence):
    with ServerThread({}) as server:
        assert chat(monkeypatch, f"{scheme}://127.0.0.1:{getattr(server, port)}", "Hello?\n") == 1
    assert capsys.readouterr().err.rstrip().endswith(f": {sentence}")
