"""Settings as JSON values and back, by their type hints: how they reach another process; pure.

Knows what settings are made of: dataclasses, tuples of one kind, paths, enums, optional and plain values.
"""

from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints


def to_plain(value: Any) -> Any:
    """Dictionaries, lists, texts and numbers for a value."""
    if is_dataclass(value):
        return {member.name: to_plain(getattr(value, member.name)) for member in fields(value)}
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def from_plain(kind: Any, plain: Any) -> Any:
    """The value of type `kind` that `to_plain` gave `plain` for."""
    arguments = get_args(kind)
    if NoneType in arguments:
        (kind,) = [argument for argument in arguments if argument is not NoneType]
        return None if plain is None else from_plain(kind, plain)
    if get_origin(kind) is tuple:
        return tuple(from_plain(arguments[0], item) for item in plain)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: from_plain(hint, plain[name]) for name, hint in hints.items()})
    if isinstance(kind, type) and issubclass(kind, Path | Enum):
        return kind(plain)
    return plain
