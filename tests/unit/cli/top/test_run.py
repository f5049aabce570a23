"""From the arguments of `top` to what is printed."""

from __future__ import annotations

import argparse
import io
import json
from typing import Any

import pytest
from rich.console import Console
from tests.unit.operator.builders import make_model_service

from modelservice_cli import main as module
from modelservice_cli.rollout.progress.live import live_parts
from modelservice_cli.rollout.report import Table
from modelservice_cli.top import run
from modelservice_cli.top.arguments import parse_interval_seconds


class NoPods:
    def __init__(self, _access: object) -> None:
        pass

    def list_services(self, namespace: str) -> list[dict[str, Any]]:
        return [make_model_service(namespace, replicas=1)]

    def list_pods(self, _namespace: str, _service: str) -> list[dict[str, Any]]:
        return []


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "Cluster", NoPods)
    monkeypatch.setattr(run, "find_access", lambda *_: argparse.Namespace(namespace="mail"))


@pytest.mark.parametrize("program", [module.main, module.plugin])
def test_without_a_terminal_it_prints_once(program: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert program(["top", "-n", "chat", "--interval", "0.1"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["NAME", "chat"]
    assert program(["top", "--json", "--interval", "0.1"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["mail"]


def test_in_a_terminal_it_draws_until_it_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "is_interactive", lambda *_, **__: True)
    monkeypatch.setattr(run.time, "sleep", sleep)
    assert module.main(["top"]) == 0
    assert slept == [2.0] * 3
    assert "CONC" in capsys.readouterr().out


def test_live_parts_stay_texts() -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    with live_parts(console) as draw:
        draw(["[red]a[/red]", Table(("NAME",), (("[b]x[/b]",),))])
    assert isinstance(console.file, io.StringIO)
    assert "[red]a[/red]" in console.file.getvalue()
    assert "[b]x[/b]" in console.file.getvalue()


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "2s", ""])
def test_interval_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="seconds"):
        parse_interval_seconds(text)
