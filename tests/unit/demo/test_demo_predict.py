"""The demo's inference request and how it shows the answers."""

import pytest
from hack.demo.errors import DemoError
from hack.demo.predict import Answer, ask, build_request, parse_answers, render_answers


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
    assert text == '  ham   (spam with probability 0.012)  "Hello"'


def test_ask_nobody_listens_names_the_address(unused_tcp_port):
    with pytest.raises(DemoError, match=f"does not answer at http://127.0.0.1:{unused_tcp_port}"):
        ask(f"http://127.0.0.1:{unused_tcp_port}", ["a"])
