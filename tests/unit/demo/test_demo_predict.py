"""The demo's inference request and how it shows the answers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hack.demo.errors import DemoError
from hack.demo.predict import Answer, ask, build_request, parse_answers, render_answers
from tests.support.ports import free_port


def test_build_request_batch_has_one_element_each():
    assert build_request(["a", "b"]) == {
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]}]
    }


def test_parse_answers_outputs_in_any_order_are_joined_by_row():
    body = {
        "outputs": [
            {"name": "probability", "datatype": "FP32", "shape": [2], "data": [0.25, 1]},
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["ham", "spam"]},
        ]
    }
    assert parse_answers(["a", "b"], body) == [Answer("a", "ham", 0.25), Answer("b", "spam", 1.0)]


def test_render_answers_shows_label_probability_and_text():
    text = render_answers([Answer("Hello", "ham", 0.0123)])
    assert text == '  ham   (spam with probability 0.0123)  "Hello"'


def test_ask_nobody_listens_names_the_address():
    port = free_port()
    with pytest.raises(DemoError, match=f"does not answer at http://127.0.0.1:{port}"):
        ask(f"http://127.0.0.1:{port}", ["a"], patience_seconds=0)


class LateService(BaseHTTPRequestHandler):
    """Closes the first connection without a word, then answers like a model."""

    connections = 0

    def do_POST(self) -> None:
        type(self).connections += 1
        if self.connections == 1:
            self.close_connection = True
            return
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"][0]["data"]
        status = 200 if self.path == "/v2/models/spam/infer" else 404
        outputs = [
            {"name": "label", "data": ["ham"] * len(texts)},
            {"name": "probability", "data": [0.5] * len(texts)},
        ]
        body = json.dumps({"outputs": outputs}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def service_url() -> Iterator[str]:
    LateService.connections = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), LateService) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_ask_service_that_takes_traffic_late_is_asked_again(service_url):
    assert ask(service_url, ["a", "b"]) == [Answer("a", "ham", 0.5), Answer("b", "ham", 0.5)]
    assert LateService.connections == 2


def test_ask_model_that_is_not_there_says_what_it_answered(service_url):
    with pytest.raises(DemoError, match="the model answered 404"):
        ask(f"{service_url}/other", ["a"])
