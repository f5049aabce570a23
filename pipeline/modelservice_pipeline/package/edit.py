"""Changes the fields of a manifest that name its model, and leaves the rest as a person wrote it. Pure."""

import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml


def edit_model(text: str, wanted: Mapping[str, Any]) -> str | None:
    """Return the text of a manifest with another model; comments, order and quotes stay.

    Args:
        text: The YAML of one ModelService.
        wanted: What it is to say.

    Returns:
        None where it has to be written anew: fields that go, such as an image's that becomes a file, or
        aliases that change.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        return None
    try:
        changes = sorted(_changes(text, root, wanted), key=lambda change: change.start)
    except _AnewError:
        return None
    edited, end = "", 0
    for change in changes:
        edited += text[end : change.start] + change.text
        end = change.end
    edited += text[end:]
    return edited if _reads_as(edited, wanted) else None


class _AnewError(Exception):
    """Changes of places are not enough."""


class _Change(NamedTuple):
    start: int
    end: int
    text: str


def _changes(text: str, node: yaml.Node, wanted: Any) -> Iterator[_Change]:
    if _value(node) == wanted:
        return
    if isinstance(node, yaml.MappingNode) and isinstance(wanted, Mapping) and node.value:
        yield from _changes_of_fields(text, node, wanted)
    elif isinstance(node, yaml.SequenceNode) and isinstance(wanted, list) and node.value:
        yield from _changes_of_items(text, node, wanted)
    elif isinstance(node, yaml.ScalarNode) and not isinstance(wanted, Mapping | list):
        yield _Change(node.start_mark.index, node.end_mark.index, _scalar(wanted, node.style))
    else:
        raise _AnewError


def _changes_of_fields(text: str, node: yaml.MappingNode, wanted: Mapping[str, Any]) -> Iterator[_Change]:
    fields = {key.value: (key, value) for key, value in node.value}
    if fields.keys() - wanted.keys():
        raise _AnewError
    last = node.value[0][1]
    for name, value in wanted.items():
        if name not in fields:
            yield _added(text, node, last, {name: value})
            continue
        key, last = fields[name]
        if value and isinstance(value, Mapping | list) and not node.flow_style and not _value(last):
            # Nothing, or empty braces, becomes a block below; what is said beside it stays.
            yield _Change(key.end_mark.index + 1, _end(last), "")
            yield _below(text, _end(last), value, key.start_mark.column + 2)
        else:
            yield from _changes(text, last, value)


def _changes_of_items(text: str, node: yaml.SequenceNode, wanted: list[Any]) -> Iterator[_Change]:
    if len(wanted) < len(node.value):
        raise _AnewError
    for item, value in zip(node.value, wanted, strict=False):
        yield from _changes(text, item, value)
    for value in wanted[len(node.value) :]:
        yield _added(text, node, node.value[-1], [value])


def _added(text: str, node: yaml.CollectionNode, last: yaml.Node, value: Any) -> _Change:
    """`value` is a field or an item, as a collection of that alone, which comes behind `last`."""
    if node.flow_style:
        return _Change(_end(last), _end(last), f", {_flow(value)[1:-1]}")
    return _below(text, _end(last), value, node.start_mark.column)


def _below(text: str, index: int, value: Any, column: int) -> _Change:
    end = text.find("\n", index) if "\n" in text[index:] else len(text)
    block = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=sys.maxsize).rstrip("\n")
    return _Change(end, end, "\n" + textwrap.indent(block, " " * column))


def _end(node: yaml.Node) -> int:
    """Where it ends: a block ends with its last value, and not with the comments below."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, yaml.MappingNode) else last)
    is_block = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
    return int(node.end_mark.index) - is_block


def _scalar(value: Any, style: str | None) -> str:
    """With the quotes that it had."""
    if isinstance(value, str) and style in ("'", '"'):
        return f"{style}{value}{style}"
    return yaml.safe_dump(value, allow_unicode=True, width=sys.maxsize).removesuffix("...\n").rstrip("\n")


def _flow(value: Any) -> str:
    """On one line."""
    return str(
        yaml.safe_dump(
            [value], default_flow_style=True, sort_keys=False, allow_unicode=True, width=sys.maxsize
        )
    )[1:-2]


def _value(node: yaml.Node) -> object:
    return yaml.SafeLoader("").construct_object(node, deep=True)


def _reads_as(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        found: object = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return found == wanted
