from __future__ import annotations

import argparse
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from modelservice_cli.commands import _build_parser, _build_plugin_parser
from modelservice_cli.main import main, plugin
from modelservice_cli.rollout import run as module
from modelservice_cli.rollout.arguments import parse_duration_seconds
from modelservice_cli.rollout.cluster.api import refusal
from modelservice_cli.rollout.cluster.errors import ChangedMeanwhileError, ForbiddenError, UnavailableError
from modelservice_cli.rollout.cluster.kubeconfig import find_access
from modelservice_cli.rollout.progress.follow import is_interactive

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "argv",
    [
        ["-n", "mail", "--context", "c", "rollout", "status", "spam"],
        ["rollout", "-n", "mail", "--context", "c", "status", "spam"],
        ["rollout", "status", "spam", "-n", "mail", "--context", "c"],
        ["-n", "other", "rollout", "status", "spam", "-n", "mail", "--context", "c"],
    ],
)
def test_cluster_flags_may_stand_anywhere_behind_the_plugin(argv: list[str]) -> None:
    arguments = _build_plugin_parser().parse_args(argv)

    assert (arguments.namespace, arguments.context, arguments.name) == ("mail", "c", "spam")
    assert not hasattr(arguments, "kubeconfig")


def test_both_commands_know_the_same_verbs() -> None:
    argv = ["rollout", "undo", "spam", "--to-revision", "2", "--force", "--dry-run", "-n", "mail"]

    assert vars(_build_parser().parse_args(argv)) == vars(_build_plugin_parser().parse_args(argv))


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1h", 3600)])
def test_parse_duration_seconds(text: str, seconds: int) -> None:
    assert parse_duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-1s", "1.5m", "1d", "m", "1m30s"])
def test_parse_duration_seconds_anything_else_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="such as 90s"):
        parse_duration_seconds(text)


@pytest.mark.parametrize(
    ("environment", "is_terminal", "interactive"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"CI": "true"}, True, False),
        ({"CI": "false"}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_is_interactive(environment: dict[str, str], is_terminal: bool, interactive: bool) -> None:
    assert is_interactive(environment, is_terminal=is_terminal) is interactive


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        (404, '{"details": {"name": "spam"}}', None, "GONE"),
        (404, "404 page not found\n", None, "install the operator"),
        (401, "", None, "log in again"),
        (403, '{"message": "cannot get pods"}', ForbiddenError, "cannot get pods; ask for the role"),
        (409, "{}", ChangedMeanwhileError, "run the command again"),
        (422, '{"message": "spec.gpu: CUDA needs a GPU"}', None, "refuses it: spec.gpu: CUDA needs a GPU"),
        (503, "<html>", UnavailableError, "cannot answer now: HTTP 503"),
        (400, b"[1]", None, "HTTP 400"),
    ],
)
def test_refusal_says_what_to_do(status: int, body: Any, kind: type | None, sentence: str) -> None:
    error = refusal(status, body, "GONE", "https://server")

    assert sentence in str(error)
    assert kind is None or type(error) is kind


def kubeconfig(path: Path, server: str = "http://127.0.0.1:1", namespace: str | None = None) -> Path:
    context = {"cluster": "here", "user": "me"} | ({"namespace": namespace} if namespace else {})
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [
            {"name": "plain", "context": context},
            {"name": "other", "context": {**context, **OTHER}},
        ],
        "current-context": "plain",
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


OTHER = {"namespace": "elsewhere"}


def test_namespace_is_that_of_the_context(tmp_path: Path) -> None:
    named, unnamed = kubeconfig(tmp_path / "a", namespace="mail"), kubeconfig(tmp_path / "b")

    assert find_access(named, None).namespace == "mail"
    assert find_access(named, "other").namespace == "elsewhere"
    assert find_access(unnamed, None).namespace == "default"


def test_kubeconfig_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "config", namespace="mail")))

    assert find_access(None, None).namespace == "mail"


@pytest.mark.parametrize("run", [main, plugin])
def test_without_a_kubeconfig_the_command_says_what_to_do(run: Any, tmp_path: Path, capsys: Any) -> None:
    assert run(["rollout", "status", "spam", "--kubeconfig", str(tmp_path / "none")]) == 1
    assert f"no kubeconfig at {tmp_path / 'none'}: name one with --kubeconfig" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["a: [", "hello", "a: 1"])
def test_damaged_kubeconfig_is_one_sentence(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config"
    file.write_text(text, encoding="utf-8")

    assert main(["rollout", "status", "spam", "--kubeconfig", str(file)]) == 1
    assert capsys.readouterr().err.startswith(f"modelservice: cannot use the kubeconfig {file}: ")


def test_unknown_context_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = kubeconfig(tmp_path / "config")

    assert main(["rollout", "status", "spam", "--kubeconfig", str(file), "--context", "nowhere"]) == 1
    assert "context 'nowhere'" in capsys.readouterr().err


def test_api_server_that_is_away_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = kubeconfig(tmp_path / "config")

    assert main(["rollout", "status", "spam", "--kubeconfig", str(file), "-w"]) == 1
    assert capsys.readouterr().err == (
        "modelservice: no answer from the API server at http://127.0.0.1:1 (Connection refused): check the "
        "network and the kubeconfig's context\n"
    )


@pytest.mark.parametrize("verb", ["status", "promote", "pause", "resume", "abort", "retry"])
@pytest.mark.parametrize("flags", [["--timeout", "1s"], ["--until-paused"]])
def test_flags_of_watch_without_watch_are_wrong_usage(
    verb: str, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = kubeconfig(tmp_path / "config")

    assert main(["rollout", verb, "spam", "--kubeconfig", str(file), *flags]) == 2
    assert capsys.readouterr().err == f"modelservice: {flags[0]} needs -w\n"


def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert plugin(["rollout", "stop", "spam"]) == 2
    assert capsys.readouterr().err.startswith("kubectl msvc: ")


def test_more_than_two_revisions_to_compare_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = kubeconfig(tmp_path / "config")

    assert main(["rollout", "diff", "spam", "1", "2", "3", "--kubeconfig", str(file)]) == 2
    assert "two revisions" in capsys.readouterr().err


def test_codes_in_a_refusal_never_reach_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_arguments: Any) -> int:
        raise refusal(422, b'{"message": "a\\u001b[2J\\nb"}', "gone", "S")

    monkeypatch.setattr(module, "run_verb", refuse)
    assert main(["rollout", "status", "spam"]) == 1
    assert capsys.readouterr().err == "modelservice: the API server refuses it: a\\x1b[2J\nb\n"


@pytest.mark.parametrize(("flags", "code"), [(["-w"], 141), ([], 0)])
def test_followed_change_does_not_look_complete_to_whoever_reads_a_part(flags: list[str], code: int) -> None:
    """In a process of its own: it takes the standard output away."""
    program = (
        "import sys; from modelservice_cli.rollout import run; from modelservice_cli.main import main\n"
        "def run_verb(arguments): raise BrokenPipeError\n"
        "run.run_verb = run_verb; sys.exit(main(['rollout', 'status', 'spam', *sys.argv[1:]]))"
    )

    assert subprocess.run([sys.executable, "-c", program, *flags], check=False).returncode == code


def test_ctrl_c_while_packages_are_read_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        """Stands for the package while Python reads it."""

        def __getattr__(self, name: str) -> Any:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "modelservice_cli.rollout.run", Interrupted())  # type: ignore[arg-type]
    assert main(["rollout", "status", "spam"]) == 130
