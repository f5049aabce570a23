"""Progress lines and the command line's refusals."""

import io

import pytest
from hack.demo.cli import main
from hack.demo.steps import Steps, format_elapsed


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "   0 s"), (59.9, "  59 s"), (725, " 12:05"), (6000, "100:00")]
)
def test_format_elapsed_has_constant_width(seconds, text):
    assert format_elapsed(seconds) == text
    assert len(text) == 6


def test_step_prints_one_line_as_it_begins():
    stream = io.StringIO()
    with Steps(stream).step("pushing"):
        assert stream.getvalue() == "[   0 s] pushing\n"
    assert stream.getvalue() == "[   0 s] pushing\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["up", "--registry", "r:5000"], "--registry needs --context"),
        (["up", "--context", "kind"], "--context needs --registry"),
    ],
)
def test_main_half_a_target_is_refused_before_anything_runs(arguments, sentence, capsys):
    assert main(arguments) == 1
    assert sentence in capsys.readouterr().err
