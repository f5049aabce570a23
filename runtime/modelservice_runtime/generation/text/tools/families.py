"""How a model writes calls of tools, told by its chat template, and the grammar that holds it to one."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.generation.text.schemas import check_size, prepare_schema
from modelservice_runtime.generation.text.tools.readers import (
    ARGUMENTS,
    CALL,
    CALLS,
    END_OF_CALL,
    ListedReader,
    PlainReader,
    TaggedReader,
)
from modelservice_runtime.generation.values import ToolReader

# Where several tools may be called, a weak model must still come to an end.
_MAX_CALLS = 8

# How templates show it, in a text or in a Jinja2 string. Other languages within the tags are others' calls.
_TAGGED_JSON = re.compile(r'<tool_call>[^<]{0,40}\{\\?"name')
_PLAIN_JSON = '"parameters": dictionary'

Literal = Callable[[str], str]
"""How a grammar writes a text of the model: in quotes, or as its special token."""


@dataclass(frozen=True, slots=True)
class Family:
    """One way to write calls. `call` and `calls` make the grammar's rules of one call, and of all."""

    reader: Callable[[], ToolReader]
    write_call: Callable[[str, str, Literal], str]
    write_calls: Callable[[int, Literal], str]

    def grammar(
        self, tools: Sequence[Mapping[str, object]], literal: Literal, *, only_one: bool = False
    ) -> str:
        """The Lark grammar of a text that calls one of the tools, or several. Raises InvalidRequestError."""
        rules = []
        check_size(tools)
        for number, tool in enumerate(tools):
            name, schema = _name_and_schema(tool)
            rules.append(
                f"call_{number}: {self.write_call(json.dumps(name), f'arguments_{number}', literal)}"
            )
            rules.append(f"arguments_{number}: %json {json.dumps(schema)}")
        one = "call: " + " | ".join(f"call_{number}" for number in range(len(tools)))
        further = _MAX_CALLS - 1 if len(tools) > 1 and not only_one else 0
        return "\n".join([f"start: {self.write_calls(further, literal)}", one, *rules])


def family_of(template: str) -> Family | None:
    """The family whose calls a chat template shows; None where it shows none, or others."""
    if _TAGGED_JSON.search(template):
        return _TAGGED
    if CALLS in template:
        return _NAMED if ARGUMENTS in template else _LISTED
    return PLAIN if _PLAIN_JSON in template else None


def _name_and_schema(tool: Mapping[str, object]) -> tuple[str, object]:
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name:
        raise InvalidRequestError("a tool has no function.name")
    parameters = function.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InvalidRequestError(f"the parameters of {name} are no JSON schema")
    kinds = parameters.get("type") or "object"
    if "object" not in (kinds if isinstance(kinds, list) else [kinds]):
        raise InvalidRequestError(
            f"the parameters of {name} have the type {str(kinds)[:100]}, expected object, for arguments have "
            "names"
        )
    return name, prepare_schema({**parameters, "type": "object"})


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _object(key: str) -> Callable[[str, str, Literal], str]:
    def write(name: str, arguments: str, _literal: Literal) -> str:
        head = f'{{"name": {name}, "{key}": '
        return f'{_quoted(head)} {arguments} "}}"'

    return write


def _write_tagged(further: int, literal: Literal) -> str:
    one = f'{literal(CALL)} "\\n" call "\\n" {literal(END_OF_CALL)}'
    return one + _up_to(further, f'"\\n" {one}')


def _write_one(_further: int, _literal: Literal) -> str:
    return "call"


def _write_listed(further: int, literal: Literal) -> str:
    more = _up_to(further, '", " call')
    return f'{literal(CALLS)} "[" call{more} "]"'


def _write_named(further: int, literal: Literal) -> str:
    one = f"{literal(CALLS)} call"
    return one + _up_to(further, one)


def _write_named_call(name: str, arguments: str, literal: Literal) -> str:
    return f"{name} {literal(ARGUMENTS)} {arguments}"


def _up_to(times: int, rule: str) -> str:
    return f" ({rule}){{0,{times}}}" if times else ""


_TAGGED = Family(TaggedReader, _object("arguments"), _write_tagged)
PLAIN = Family(PlainReader, _object("parameters"), _write_one)
_LISTED = Family(ListedReader, _object("arguments"), _write_listed)
_NAMED = Family(ListedReader, _write_named_call, _write_named)
