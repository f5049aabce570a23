"""What templates do with values, each paid for before it is done, and nothing that is not named here.

The sandbox of Jinja2 keeps a template away from Python's insides, but lets it take all memory and time:
`'a' * 10**10`, a list that holds itself twice, forty times over, then printed.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from string import Formatter
from time import localtime, strftime
from typing import Any

from jinja2 import Undefined
from jinja2.exceptions import SecurityError, TemplateRuntimeError
from markupsafe import Markup, escape

from modelservice_runtime.generation.text.template.budget import (
    CURRENT,
    TemplateTooCostlyError,
    spend_on_all_of,
    spend_on_items_of,
)

_MAX_NUMBER = 2**63
_MAX_RANGE = 100_000
_MAX_INDENT = 64
_TEXT_METHODS = frozenset({
    "capitalize", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdecimal", "isdigit",
    "islower", "isnumeric", "isspace", "istitle", "isupper", "lower", "lstrip", "partition", "removeprefix",
    "removesuffix", "rfind", "rindex", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith",
    "strip", "swapcase", "title", "upper",
})  # fmt: skip
_DICT_METHODS = frozenset({"copy", "get", "items", "keys", "values"})
_LIST_METHODS = frozenset({"copy", "count", "index"})


def text_of(value: object) -> str:
    """What a value is when printed."""
    if not isinstance(value, str):
        spend_on_all_of(value)
        value = str(value)
    CURRENT.get().spend_characters(len(value))
    return value


def concatenate(values: Iterable[object]) -> str:
    """The operator `~`."""
    texts = [text_of(value) for value in values]
    CURRENT.get().spend_characters(sum(map(len, texts)))
    return "".join(texts)


def compared(value: object) -> object:
    """One side of a comparison."""
    if isinstance(value, str):
        CURRENT.get().spend(1 + (len(value) >> 8))
    elif isinstance(value, dict | list | tuple):
        spend_on_all_of(value)
    return value


def searched(value: object) -> object:
    """What the right side of `in` is looked up in."""
    return value if isinstance(value, dict) else compared(value)


def sliced(value: Any) -> Any:
    """A part of a list or text, which is a copy."""
    if isinstance(value, str):
        CURRENT.get().spend_characters(len(value))
    elif isinstance(value, list | tuple):
        CURRENT.get().spend(1 + (len(value) >> 6))
    return value


def key_of(value: object) -> object:
    """A key of an object, as JSON has them, or a place in a list."""
    if isinstance(value, str | int | float | None | Undefined | slice):
        return value
    raise SecurityError(f"a key is a {type(value).__name__}, expected a text or a number")


def operate(operator: str, left: Any, right: Any) -> Any:
    """An arithmetic operator between two values."""
    if operator == "*" and _is_sequence(left):
        left, right = right, left
    if operator == "*" and _is_sequence(right):
        return _repeat(right, left)
    if operator == "+" and isinstance(left, str | list | tuple):
        return _joined(left, right)
    if operator == "%" and isinstance(left, str):
        return _formatted(left, right)
    return _calculate(operator, left, right)


def call_method(owner: Any, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A method of a text, list or object."""
    name = method.__name__
    spend_on_all_of([*args, *kwargs.values()])
    if isinstance(owner, str):
        if name == "replace":
            return replace(owner, *args, **kwargs)
        if name == "join":
            return join(args[0] if args else (), owner)
        CURRENT.get().spend_characters(2 * len(owner))
        return _allowed(name, _TEXT_METHODS, method)(*args, **kwargs)
    if isinstance(owner, dict):
        if name == "get":
            key_of(args[0] if args else None)
        return _allowed(name, _DICT_METHODS, method)(*args, **kwargs)
    if name in ("count", "index"):
        spend_on_all_of(owner)
    return _allowed(name, _LIST_METHODS, method)(*args, **kwargs)


def replace(s: Any, old: str, new: str, count: int | None = None) -> str:
    """Filter and method."""
    text = text_of(s)
    times = text.count(old) if count is None or count < 0 else min(count, text.count(old))
    CURRENT.get().spend_characters(len(text) + times * len(new))
    return text.replace(old, new, -1 if count is None else count)


def join(values: Iterable[Any], d: Any = "", attribute: str | None = None) -> str:
    """Filter and method."""
    if attribute is not None:
        values = [value.get(attribute, "") if isinstance(value, Mapping) else "" for value in values]
    texts = [text_of(value) for value in spend_on_items_of(values)]
    separator = text_of(d)
    CURRENT.get().spend_characters(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def indent(text: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """Filter: put spaces before all lines, the first and empty ones only where asked to."""
    margin = width if isinstance(width, str) else " " * min(width, _MAX_INDENT + 1)
    if len(margin) > _MAX_INDENT:
        raise TemplateTooCostlyError(f"it indents by more than {_MAX_INDENT}")
    text = text_of(text)
    CURRENT.get().spend_characters(len(text) + text.count("\n") * len(margin))
    lines = text.split("\n")
    moved = [margin + line if line or blank else line for line in lines[1:]]
    return "\n".join([(margin if first else "") + lines[0], *moved])


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Filter: as Hugging Face's `apply_chat_template` has it."""
    spend_on_all_of(value)
    if indent is not None and not 0 <= indent <= _MAX_INDENT:
        raise TemplateTooCostlyError(f"it indents by more than {_MAX_INDENT}")
    if separators is not None and max(map(len, separators)) > _MAX_INDENT:
        raise TemplateTooCostlyError("it separates by long texts")
    text = json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=None if separators is None else (separators[0], separators[1]),
        sort_keys=sort_keys,
    )
    CURRENT.get().spend_characters(len(text))
    return text


class Formatting:
    """The method `format` of a text, with places and names, and no widths."""

    def __init__(self, form: str) -> None:
        self._form = form

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        """The text with its fields filled."""
        CURRENT.get().spend_characters(len(self._form))
        for _text, field, spec, conversion in Formatter().parse(self._form):
            if spec or conversion or (not (field or "").replace("_", "").isalnum() and field):
                raise SecurityError("only fields by place and name are served in formats")
        names = {name: text_of(value) for name, value in kwargs.items() if not name.startswith("_")}
        texts = [text_of(value) for value in args]
        longest = max(map(len, [*texts, *names.values()]), default=0)
        CURRENT.get().spend_characters(len(self._form) + self._form.count("{") * longest)
        return self._form.format(*texts, **names)


def marked_safe(text: Any) -> Markup:
    """Filter: a text that is HTML already; what is put to it is escaped."""
    return Markup(text_of(text))  # noqa: S704 - no browser sees it


def escaped(text: Any) -> Markup:
    """Filter: text for HTML."""
    return escape(text_of(text))


def numbers(*bounds: int) -> range:
    """The global `range`."""
    result = range(*bounds)
    if len(result) > _MAX_RANGE:
        raise TemplateTooCostlyError(f"it counts over more than {_MAX_RANGE} numbers")
    return result


def new_object(**fields: Any) -> dict[str, Any]:
    """The global `dict`."""
    return fields


def strftime_now(format: str) -> str:  # noqa: A002 - as templates call it
    """The global of that name: the local time."""
    if len(format) > _MAX_INDENT or re.search(r"%[^a-zA-Z%]", format):
        raise TemplateRuntimeError("strftime_now: the format is none")
    return strftime(format, localtime())


def raise_exception(message: str) -> None:
    """The global of that name: the template refuses the conversation."""
    raise TemplateRuntimeError(str(message))


def _allowed(name: str, names: frozenset[str], method: Callable[..., Any]) -> Callable[..., Any]:
    if name not in names:
        raise SecurityError(f"the method {name} is not served to templates")
    return method


def _is_sequence(value: object) -> bool:
    return isinstance(value, str | list | tuple)


def _repeat(values: Any, times: Any) -> Any:
    if not isinstance(times, int):
        raise TemplateRuntimeError("a text or list can be repeated a whole number of times only")
    size = len(values) * max(times, 0)
    CURRENT.get().spend_characters(size) if isinstance(values, str) else CURRENT.get().spend(1 + size)
    return values * times


def _joined(left: Any, right: Any) -> Any:
    if isinstance(left, str):
        CURRENT.get().spend_characters(len(left) + (len(right) if isinstance(right, str) else 0))
    elif isinstance(right, list | tuple):
        CURRENT.get().spend(1 + (len(left) + len(right) >> 3))
        return [*left, *right]
    return left + right


def _formatted(form: str, values: Any) -> str:
    """`'%s of %d' % (1, 2)`, with no widths and no keys."""
    values = list(values) if isinstance(values, list | tuple) else [values]
    if re.search(r"%(?![sd%])", form):
        raise SecurityError("only %s, %d and %% are served in formats")
    spend_on_all_of(values)
    text = form % tuple(islice(values, 1000))
    CURRENT.get().spend_characters(len(text))
    return text


def _calculate(operator: str, left: Any, right: Any) -> Any:
    if operator == "**" and not (abs(left) <= 1000 and abs(right) <= 16):
        raise TemplateTooCostlyError("it raises numbers to high powers")
    result = _ARITHMETIC[operator](left, right)
    if isinstance(result, int) and abs(result) > _MAX_NUMBER:
        raise TemplateTooCostlyError("it calculates with huge numbers")
    return result


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "//": lambda left, right: left // right,
    "%": lambda left, right: left % right,
    "**": lambda left, right: left**right,
}
