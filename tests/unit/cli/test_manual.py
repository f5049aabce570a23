"""Every command says what it does, shows how it is used, and with what it ends."""

import re
import shlex

import pytest

from modelservice_cli.commands import _build_parser, _build_plugin_parser
from modelservice_cli.manual import CODES, PAGES, commands_of

COMMANDS = dict(commands_of(_build_parser()))
PLUGIN_COMMANDS = dict(commands_of(_build_plugin_parser()))


def examples(help_text: str) -> list[str]:
    part = help_text.partition("Examples:\n")[2].partition("\n\n")[0]
    return [line.strip() for line in part.splitlines()]


def test_every_page_belongs_to_a_command():
    assert COMMANDS.keys() == PAGES.keys()


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_has_a_sentence_examples_and_exit_codes(path):
    said = COMMANDS[path].format_help()
    description = COMMANDS[path].description or ""
    assert description.endswith("."), description
    assert examples(said)
    codes = [
        int(code) for code in re.findall(r"^  (\d+) +\w", said.partition("Exit codes:")[2], re.MULTILINE)
    ]
    assert codes == sorted(codes)
    assert {code for code, _ in CODES} <= {*codes}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_examples_are_command_lines_that_are_taken(path):
    for example in examples(COMMANDS[path].format_help()):
        (command,) = re.findall(r"modelservice [^>)]*", example.removesuffix('"'))[:1]
        words = shlex.split(command)
        assert words[0] == "modelservice"
        assert tuple(words[1 : 1 + len(path)]) == path
        COMMANDS[()].parse_args(words[1:])


@pytest.mark.parametrize("path", sorted(PLUGIN_COMMANDS.keys() - {()}), ids=" ".join)
def test_plugin_shows_examples_under_its_own_name(path):
    for example in examples(PLUGIN_COMMANDS[path].format_help()):
        assert example.startswith("kubectl msvc ")
        PLUGIN_COMMANDS[()].parse_args(shlex.split(example)[2:])


def test_program_of_the_plugin_shows_only_what_it_has():
    for example in examples(PLUGIN_COMMANDS[()].format_help()):
        PLUGIN_COMMANDS[()].parse_args(shlex.split(example)[2:])
