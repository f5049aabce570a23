"""Characters as numbers: every one of Unicode, whatever stands beside it."""

import numpy as np
import onnxruntime

from modelservice_pipeline.text.characters import SEPARATOR, read_characters, utf8_bytes
from modelservice_pipeline.text.graph import INT64, STRING, Graph


def _read(texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    graph = Graph("characters")
    characters = read_characters(graph, graph.input("text", STRING, ["N"]))
    graph.output("codes", characters.codes, INT64, [None])
    graph.output("rows", characters.rows, INT64, [None])
    graph.output("bytes", utf8_bytes(graph, characters.codes), INT64, [None, 4])
    session = onnxruntime.InferenceSession(graph.model().SerializeToString())
    codes, rows, utf8 = session.run(None, {"text": np.array(texts, object)})
    return codes, rows, utf8


def test_every_character_has_its_code_point_and_its_bytes():
    every = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    texts = ["".join(map(chr, every[begin : begin + 4096])) for begin in range(0, len(every), 4096)]
    codes, _, utf8 = _read(texts)
    inside = codes != SEPARATOR
    assert np.array_equal(codes[inside], every)
    written = utf8[inside]
    assert written[written >= 0].astype(np.uint8).tobytes() == "".join(texts).encode()


def test_texts_follow_one_another_each_with_its_end():
    codes, rows, _ = _read(["", "é\n", "", "😀" * 33])
    assert codes.tolist() == [SEPARATOR, 0xE9, 10, SEPARATOR, SEPARATOR, *[0x1F600] * 33, SEPARATOR]
    assert rows.tolist() == [0, 1, 1, 1, 2, *[3] * 34]
