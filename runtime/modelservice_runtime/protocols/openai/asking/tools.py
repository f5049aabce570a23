"""The tools that a model may call, and whether it has to call one; pure."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from modelservice_runtime.generation.values import FormKind, TextForm
from modelservice_runtime.protocols.openai.asking.fields import Fields, as_object, shown
from modelservice_runtime.protocols.openai.asking.formats import AskedForm
from modelservice_runtime.protocols.openai.errors import FieldError

MAX_NAME_LENGTH = 128
_MAX_TOOLS = 128

Tools: TypeAlias = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class AskedCalls:
    """`tools` are those that the model is told of.

    Where `are_read` calls of them are looked for in the answer; with a `form` it has to be one. With
    `only_one` the answer ends behind the first.
    """

    tools: Tools | None
    are_read: bool
    form: AskedForm | None
    only_one: bool


def read_tools(fields: Fields) -> Tools | None:
    """The tools of chat as they were sent, which is what templates expect; None without any.

    Raises FieldError.
    """
    tools = fields.items("tools", max_items=_MAX_TOOLS) or []
    for index, tool in enumerate(tools):
        _read_tool(tool, f"tools[{index}]")
    return _unlike(tools)


def read_flat_tools(fields: Fields) -> Tools | None:
    """The tools of responses, which have no `function` around them, as those of chat. Raises FieldError."""
    tools = fields.items("tools", max_items=_MAX_TOOLS) or []
    return _unlike([_read_flat_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)])


def read_calls(fields: Fields, tools: Tools | None, form: AskedForm | None) -> AskedCalls:
    """What a request with these tools says of calls; an answer has one `form` only. Raises FieldError."""
    choice, allowed = _read_allowed(fields, tools)
    only_one = not fields.flag("parallel_tool_calls", default=True)
    kind = FormKind.TOOL_CALL if only_one else FormKind.TOOL_CALLS
    called = _read_called(fields, choice, allowed)
    if form is not None and called is not None:
        raise FieldError(f"'tool_choice' contradicts '{form.param}'; send one of them", "tool_choice")
    is_none = choice == "none"
    return AskedCalls(
        tools=None if is_none else allowed,
        are_read=allowed is not None and not is_none,
        form=None if called is None else AskedForm(TextForm(kind, called), "tool_choice"),
        only_one=only_one,
    )


def read_name(function: Fields) -> str:
    """The name of a function. Raises FieldError."""
    name = function.text("name", max_length=MAX_NAME_LENGTH)
    if not name:
        raise function.fail("name", f"a name of 1 to {MAX_NAME_LENGTH} characters")
    return name


def named_function(choice: object) -> str | None:
    """The function that an object names: chat has its name in `function`, responses beside its type."""
    named = choice.get("function", choice) if isinstance(choice, dict) else None
    name = named.get("name") if isinstance(named, dict) else None
    return name if isinstance(name, str) else None


def _unlike(tools: Tools) -> Tools | None:
    names = {_name(tool) for tool in tools}
    if len(names) < len(tools):
        raise FieldError("'tools' has two functions of one name", "tools")
    return tools or None


def _name(tool: dict[str, Any]) -> str:
    return str(tool["function"]["name"])


def _read_tool(tool: object, path: str) -> None:
    fields = as_object(tool, path)
    if fields.any("type") != "function":
        raise fields.fail("type", "'function'")
    function = fields.object("function")
    if function is None:
        raise fields.fail("function", "an object with a name")
    _read_function(function)


def _read_flat_tool(tool: object, path: str) -> dict[str, Any]:
    fields = as_object(tool, path)
    kind = fields.any("type")
    if kind != "function":
        raise FieldError(
            f"'{path}.type' is {shown(kind)}; this server runs no tools of its own, so it must be "
            "'function', which you call yourself",
            f"{path}.type",
        )
    fields.flag("strict")
    return {"type": "function", "function": _read_function(fields)}


def _read_function(function: Fields) -> dict[str, Any]:
    read = {
        "name": read_name(function),
        "description": function.text("description"),
        "parameters": function.raw_object("parameters"),
    }
    return {name: value for name, value in read.items() if value is not None}


def _read_allowed(fields: Fields, tools: Tools | None) -> tuple[object, Tools | None]:
    """What `tool_choice` says, and the tools that it leaves; `allowed_tools` says both."""
    choice = fields.any("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools" or tools is None:
        return choice, tools
    flat = Fields(choice, "tool_choice")
    allowed = flat.object("allowed_tools") or flat
    allowed.required("mode")
    named = allowed.items("tools", max_items=len(tools)) or []
    names = [named_function(one) for one in named]
    if not names or not set(names) <= set(map(_name, tools)):
        raise allowed.fail("tools", "a list of functions of 'tools'")
    return allowed.choice("mode", ("auto", "required")), [tool for tool in tools if _name(tool) in names]


def _read_called(fields: Fields, choice: object, tools: Tools | None) -> Tools | None:
    """The tools of which an answer has to call one; None where it need not."""
    if choice is None or choice in ("none", "auto"):
        return None
    if tools is None:
        raise FieldError("'tool_choice' needs 'tools'", "tool_choice")
    if choice == "required":
        return tools
    called = [tool for tool in tools if _name(tool) == named_function(choice)]
    if not called:
        expected = "'none', 'auto', 'required' or an object that names a function of 'tools'"
        raise fields.fail("tool_choice", expected)
    return called
