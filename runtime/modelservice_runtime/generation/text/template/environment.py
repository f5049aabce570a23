"""The sandbox that chat templates run in: Jinja2's, with less in it, and with every operation counted."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from jinja2 import Template, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.filters import FILTERS
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace, pass_context

from modelservice_runtime.generation.text.template import counting, operations
from modelservice_runtime.generation.text.template.budget import (
    CURRENT,
    spend_on_all_of,
    spend_on_items_of,
)

# What looks at one value, whatever its size.
_CHEAP = (
    "abs", "count", "d", "default", "first", "float", "int", "last", "length",
)  # fmt: skip
# What goes once over the items.
_ITERATING = ("items", "list", "map", "reject", "rejectattr", "reverse", "select", "selectattr")
# What looks into everything, to compare or copy it.
_THOROUGH = (
    "capitalize", "dictsort", "groupby", "lower", "max", "min", "sort", "title", "trim", "unique", "upper",
)  # fmt: skip
_COMPARING_TESTS = ("==", "eq", "equalto", "!=", "ne", "<", "lt", "lessthan", "<=", "le", ">", "gt",
                    "greaterthan", ">=", "ge", "in")  # fmt: skip
# A macro's call takes longer than a turn of a loop.
_CALL_STEPS = 5
_GLOBALS: dict[str, Any] = {
    "dict": operations.new_object,
    "namespace": Namespace,
    "raise_exception": operations.raise_exception,
    "range": operations.numbers,
    "strftime_now": operations.strftime_now,
}


class GenerationTag(Extension):
    """`{% generation %}` marks what an assistant said, for training; here it is what it holds."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja2 has it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """See `Extension.parse`."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """Compiles chat templates as Hugging Face's `apply_chat_template` does."""

    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "%", "**"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # it would calculate constants, however large, before anything counts
            extensions=["jinja2.ext.loopcontrols", GenerationTag],
        )
        self.filters = _filters()
        self.tests = {**TESTS, **{name: _weighed(_test(name), spend_on_all_of) for name in _COMPARING_TESTS}}
        self.globals = dict(_GLOBALS)

    def compile_counted(self, source: str) -> Template:
        """A template that counts what it does. Raises TemplateError, and what compilers raise."""
        tree = counting.count_all(self.parse(source))
        return Template.from_code(self, self.compile(tree), dict(self.globals))

    def call_binop(self, _context: Context, operator: str, left: Any, right: Any) -> Any:
        """See `SandboxedEnvironment.call_binop`."""
        CURRENT.get().spend(1)
        return operations.operate(operator, left, right)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """See `SandboxedEnvironment.getitem`."""
        return super().getitem(obj, operations.key_of(argument))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """See `SandboxedEnvironment.wrap_str_format`."""
        owner = getattr(value, "__self__", None)
        is_format = isinstance(owner, str) and getattr(value, "__name__", "") == "format"
        return operations.Formatting(str(owner)) if is_format else None

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """See `SandboxedEnvironment.call`: only what is named here can be called."""
        CURRENT.get().spend(_CALL_STEPS)
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str | dict | list | tuple):
            # Names that the compiler passes for functions that ask for the context.
            named = {name: value for name, value in kwargs.items() if not name.startswith("_")}
            return operations.call_method(owner, __obj, args, named)
        if isinstance(owner, LoopContext) and __obj.__name__ in ("cycle", "changed"):
            spend_on_all_of(list(args))
        elif not isinstance(__obj, Macro | Undefined | operations.Formatting) and not any(
            __obj is one for one in _GLOBALS.values()
        ):
            raise SecurityError("the template calls what is not served to templates")
        return super().call(__context, __obj, *args, **kwargs)


def _filters() -> dict[str, Callable[..., Any]]:
    return {
        **{name: FILTERS[name] for name in _CHEAP},
        **{name: _weighed(FILTERS[name], spend_on_items_of) for name in _ITERATING},
        **{name: _weighed(FILTERS[name], _spent_on_all_of) for name in _THOROUGH},
        "e": operations.escaped,
        "escape": operations.escaped,
        "indent": operations.indent,
        "join": operations.join,
        "replace": operations.replace,
        "safe": operations.marked_safe,
        "string": operations.text_of,
        "tojson": operations.to_json,
        counting.ITERATED: _kept_apart(spend_on_items_of),
        counting.TEXT: _kept_apart(operations.text_of),
        counting.CONCATENATED: _kept_apart(operations.concatenate),
        counting.COMPARED: _kept_apart(operations.compared),
        counting.SEARCHED: _kept_apart(operations.searched),
        counting.SLICED: _kept_apart(operations.sliced),
        counting.KEY: _kept_apart(operations.key_of),
    }


def _test(name: str) -> Callable[..., Any]:
    tests: dict[str, Any] = {**TESTS}
    test: Callable[..., Any] = tests[name]
    return test


def _spent_on_all_of(value: Any) -> Any:
    if not isinstance(value, str | Mapping | list | tuple | int | float | None | Undefined):
        value = list(spend_on_items_of(value))
    spend_on_all_of(value)
    return value


def _weighed(function: Callable[..., Any], weigh: Callable[[Any], Any]) -> Callable[..., Any]:
    """The function, its first value paid for; a test's others too, which are compared with it."""
    place = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def weighed(*args: Any, **kwargs: Any) -> Any:
        value, *others = args[place:]
        if weigh is spend_on_all_of:
            spend_on_all_of(others)
        paid = weigh(value)
        return function(*args[:place], value if paid is None else paid, *others, **kwargs)

    return weighed


def _kept_apart(function: Callable[[Any], Any]) -> Callable[[Context, Any], Any]:
    """A filter that Jinja2 does not calculate before there is a context."""

    @pass_context
    def filtered(_context: Context, value: Any) -> Any:
        return function(value)

    return filtered
