"""Who is chosen, and why others are not; measured ratios; the CPU that figures are from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.unit.pipeline.compress.conftest import make_network, make_rows

from modelservice_pipeline.compress import closeness, prune, student
from modelservice_pipeline.compress.candidates import Candidate, Source, plan_candidates
from modelservice_pipeline.compress.graph import read_facts
from modelservice_pipeline.compress.judge import ClosenessJudge, Verdict
from modelservice_pipeline.compress.machine import Cpu, read_cpu
from modelservice_pipeline.compress.measure import (
    Alone,
    Comparison,
    Speed,
    Spread,
    compare,
    compare_alone,
    summarize,
)
from modelservice_pipeline.compress.outcome import Outcome, report
from modelservice_pipeline.compress.prepare import prepare
from modelservice_pipeline.compress.search import (
    Aim,
    Tried,
    _build_messages,
    choose,
    make_checked,
    why_refused,
)
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.predict.wire import Message

CPU = Cpu("x86_64", "A CPU", ("avx2",))


def make_nothing(source, path):
    raise AssertionError("is not made here")


def make_tried(name="c", size=25, gain=2.0, bound=0.0, request_gain=1.2):
    speed = Comparison(
        1,
        Speed(1.0, 2.0),
        Speed(1 / gain, 1.0),
        Spread(gain, gain, gain),
        Spread(request_gain, request_gain, request_gain),
    )
    return Tried(Candidate(name, "", make_nothing), Path(name), size, Verdict(0.9, 0.9, 0, bound), speed)


@pytest.mark.parametrize(
    ("tried", "aim", "said"),
    [
        ({}, Aim(), None),
        ({"bound": 0.0101}, Aim(), "may lose 0.0101"),
        ({"bound": float("nan")}, Aim(), "may lose"),
        ({"gain": 1.09}, Aim(), "1.09 times as fast"),
        ({"gain": 5.0, "request_gain": 0.9}, Aim(), "slower"),
        ({"gain": 0.5}, Aim(objective="size"), None),
        ({"size": 95}, Aim(objective="size"), "1.05 times smaller"),
        ({"bound": 0.02}, Aim(objective="size"), "may lose"),
        ({"bound": -0.01}, Aim(max_drop=0), None),
    ],
)
def test_candidate_is_refused_for_what_it_lacks(tried, aim, said):
    refusal = why_refused(make_tried(**tried), 100, aim)
    assert (refusal is None) if said is None else said in (refusal or "")


def test_best_by_the_objective_is_chosen():
    small, fast = make_tried("small", size=10, gain=1.5), make_tried("fast", size=50, gain=3.0)
    refused = Tried(fast.candidate, refusal="it does not load")
    assert choose([small, refused, fast], Aim()) is fast
    assert choose([small, fast], Aim(objective="size")) is small
    assert choose([refused], Aim()) is None


class Fake:
    """A server whose runs take as long as they are told, and its requests 1 ms more."""

    def __init__(self, seconds: list[float]) -> None:
        self.seconds, self.asked, self.count, self.total = seconds, [], 0, 0.0

    def ask(self, message):
        self.asked.append(message)
        run = self.seconds[self.count % len(self.seconds)]
        self.count += 1
        self.total += run
        return run + 0.001

    def run_seconds(self):
        return self.count, self.total


def test_both_get_the_same_requests_and_an_interruption_counts_for_nothing():
    messages = [Message(bytes([number]), {}) for number in range(5)]
    original, candidate = Fake([0.004]), Fake([0.002] * 7 + [5.0])
    found = compare(original, candidate, messages, 1)
    assert original.asked == candidate.asked
    assert found.run_gain.median == pytest.approx(2, rel=0.01)
    assert found.candidate.run == pytest.approx(2, rel=0.01)
    assert found.request_gain.median == pytest.approx(5 / 3, rel=0.01)


def test_one_slow_round_does_not_move_the_median():
    rounds = [(Speed(2.0, 4.0), Speed(1.0, 2.0))] * 4 + [(Speed(2.0, 4.0), Speed(100.0, 200.0))]
    found = summarize(1, rounds)
    assert (found.run_gain.median, found.request_gain.median, found.candidate.run) == (2.0, 2.0, 1.0)
    assert found.run_gain.low <= 2.0 <= found.run_gain.high


@pytest.mark.parametrize(
    ("text", "name", "flags", "dots"),
    [
        ("model name\t: X 1\nflags\t\t: fpu avx2 avx512_vnni\n", "X 1", ("avx2", "avx512_vnni"), True),
        ("model name\t: Y\nflags\t: fpu avx2 fma\n", "Y", ("avx2",), False),
        ("Features\t: fp asimd asimddp\n", None, ("asimddp",), True),
        ("", None, (), False),
    ],
)
def test_cpu_says_whether_sums_of_8_bits_saturate(text, name, flags, dots):
    cpu = read_cpu(text)
    assert (cpu.flags, cpu.has_dot_products) == (flags, dots)
    assert name is None or cpu.name == name


def make_source(path, rows=None):
    onnx.save(make_network((16, 128, 128, 4)), path)
    model = OnnxModel(path)
    graph = prepare(onnx.load(path), path.with_name("prepared.onnx"))
    rows = {"x": make_rows(200)} if rows is None else rows
    facts, answers = read_facts(graph), model.run(rows)
    prepared = path.with_name("prepared.onnx")
    return Source(
        path,
        graph,
        prepared,
        facts,
        model.inputs,
        model.outputs,
        rows,
        answers,
        None,
        path.parent,
    )


@pytest.mark.parametrize(
    ("flags", "for_gpu", "names"),
    [
        ((), False, {"int8-dynamic", "int8-channels", "int7-channels", "int8-static"}),
        (("avx_vnni",), False, {"int8-dynamic", "int8-channels", "int8-static"}),
        ((), True, {"fp16"}),
    ],
)
def test_candidates_are_those_of_the_machine(tmp_path, flags, for_gpu, names):
    source = make_source(tmp_path / "m.onnx")
    planned = plan_candidates(source, Cpu("x86_64", "", flags), for_gpu=for_gpu)
    others = {"pruned-half", "pruned-quarter", "student"}
    assert {candidate.name for candidate in planned} == names | others


def test_every_candidate_of_a_network_is_made(tmp_path, monkeypatch, quantizer_here):
    monkeypatch.setattr(prune, "_STEPS", 300)
    monkeypatch.setattr(student, "_STEPS", 500)
    source = make_source(tmp_path / "m.onnx")
    for candidate in plan_candidates(source, CPU, for_gpu=False):
        path = tmp_path / f"{candidate.name}.onnx"
        candidate.make(source, path)
        answers = OnnxModel(path).run(dict(source.rows))["p"]
        same = answers.argmax(axis=1) == source.answers["p"].argmax(axis=1)
        assert same.mean() > 0.7, candidate.name


def test_candidate_has_what_the_original_tells_of_itself(tmp_path):
    source = make_source(tmp_path / "m.onnx")
    onnx.helper.set_model_props(source.model, {"features": "[]", "classes": "[1]"})

    def make(source, path):
        bare = make_network()
        onnx.helper.set_model_props(bare, {"classes": "[2]"})
        onnx.save(bare, path)

    make_checked(source, Candidate("bare", "", make), tmp_path / "bare.onnx")
    found = {each.key: each.value for each in onnx.load(tmp_path / "bare.onnx").metadata_props}
    assert found == {"features": "[]", "classes": "[2]"}


def test_agreement_and_cosine_by_hand():
    old = {"p": np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.0, 0.0]])}
    new = {"p": np.array([[0.6, 0.4], [0.9, 0.1], [1.2, 0.8], [0.0, 0.0]])}
    assert closeness.score_rows("agreement", old, new).tolist() == [1, 0, 1, 1]
    cosines = closeness.score_rows("cosine", old, new)
    assert cosines[2:].tolist() == pytest.approx([1, 1])
    assert cosines[0] == pytest.approx((0.54 + 0.04) / np.sqrt(0.82 * 0.52))


@pytest.mark.parametrize(
    ("aim", "shape", "rows", "requests"),
    [(Aim(), None, 1, 32), (Aim(objective="throughput", rows=10), None, 10, 10), (Aim(), 4, 4, 25)],
)
def test_requests_have_the_rows_of_the_objective(aim, shape, rows, requests):
    found, messages = _build_messages(
        {"x": make_rows(100)}, (Port("x", "float32", (shape, 16)),), aim, {"k": np.int64(7)}
    )
    assert (found, len(messages)) == (rows, requests)
    assert len({message.body for message in messages}) == requests
    assert f'"shape":[{rows},16]'.encode() in messages[0].body
    assert b'"name":"k","datatype":"INT64","shape":[]' in messages[0].body


def test_answers_that_are_no_numbers_lose_everything():
    old, new = np.ones((2, 3), np.float32), np.full((2, 3), np.nan, np.float32)
    assert closeness.score_rows("cosine", {"v": old}, {"v": new}).tolist() == [0, 0]


def test_texts_agree_where_they_are_equal_and_the_worst_output_counts():
    texts, others = np.array(["a", "b"], object), np.array(["a", "c"], object)
    numbers = np.array([[0.1, 0.9], [0.1, 0.9]])
    scores = closeness.score_rows("agreement", {"t": texts, "p": numbers}, {"t": others, "p": numbers})
    assert scores.tolist() == [1, 0]
    with pytest.raises(PipelineError, match="cosine"):
        closeness.score_rows("cosine", {"t": texts}, {"t": others})


def test_agreement_of_a_number_that_is_no_probability_is_refused():
    with pytest.raises(PipelineError, match="mae"):
        closeness.score_rows("agreement", {"y": np.array([3.0, 0.1])}, {"y": np.array([3.0, 0.1])})


def test_bound_of_the_loss_is_above_it_and_shrinks_with_rows():
    def bound(rows):
        old = np.tile([[0.0, 1.0]], (rows, 1))
        new = old.copy()
        new[::20] = [1.0, 0.0]
        return ClosenessJudge("agreement").compare({"p": old}, {"p": new})

    few, many = bound(100), bound(10_000)
    assert few.drop == many.drop == pytest.approx(0.05)
    assert few.drop < many.drop_bound < few.drop_bound < 0.12


def test_report_says_who_was_chosen_and_why_others_were_not():
    fast = replace(make_tried("fast", size=25, gain=3.0), alone=Alone(0.5, 0.2))
    refused = Tried(make_tried("broken").candidate, refusal="the quantizer cannot: x")
    outcome = Outcome(Path("m.onnx"), 100, "d.csv", 50, "f1", Aim(), CPU, (refused, fast), fast)
    made = report(outcome)
    made.to_json()
    assert made.facts["chosen"] == "fast"
    assert [one["refused"] for one in made.facts["candidates"]] == ["the quantizer cannot: x", None]
    assert made.pictures["compress.png"].startswith(b"\x89PNG")
    assert "fast" in made.sections[0]
    assert "3.00 times as fast" in made.sections[0]
    assert "avx2" in made.to_markdown()
    assert made.facts["candidates"][1]["alone_ms"] == {"original": 0.5, "candidate": 0.2}
    assert "2.50" in made.sections[1]
    assert "where the original takes 0.500 ms" in made.to_markdown()
    kept = report(Outcome(Path("m.onnx"), 100, "d.csv", 50, "f1", Aim(), CPU, (refused,)))
    assert "original stays" in kept.sections[0]
    assert kept.pictures == {}


def test_runs_without_a_server_are_made_in_turns_and_told_apart():
    asked = []
    found = compare_alone(lambda: asked.append("old"), lambda: asked.append("new"))
    assert asked[:4] == ["old", "new", "old", "new"]
    assert asked.count("old") == asked.count("new") >= 5
    assert min(found.original, found.candidate) > 0
