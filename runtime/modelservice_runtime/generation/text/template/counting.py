"""Puts the counting into a template: every loop, text, comparison and copy goes through `operations`.

Done on the syntax tree, before Jinja2 makes code of it, so what a template is not written to do it cannot
do. What no chat template needs is refused.
"""

from typing import TypeVar

from jinja2 import nodes
from jinja2.exceptions import TemplateSyntaxError

# Filters whose names no template can write.
ITERATED, TEXT, CONCATENATED = "(iterated)", "(text)", "(concatenated)"
COMPARED, SEARCHED, SLICED, KEY = "(compared)", "(searched)", "(sliced)", "(key)"

_REFUSED = {
    nodes.Include: "include", nodes.Import: "import", nodes.FromImport: "from", nodes.Extends: "extends",
    nodes.Block: "block",
}  # fmt: skip
_Tree = TypeVar("_Tree", bound=nodes.Node)


def count_all(tree: _Tree) -> _Tree:
    """The tree with the counting in it, in place. Raises TemplateSyntaxError for what is not served."""
    waiting: list[nodes.Node] = [tree]
    while waiting:
        node = waiting.pop()
        _check(node)
        # The children as they are written: what is put between is not looked at again.
        waiting.extend(node.iter_child_nodes())
        _count(node)
    return tree


def _check(node: nodes.Node) -> None:
    for kind, tag in _REFUSED.items():
        if isinstance(node, kind):
            raise TemplateSyntaxError(f"the tag {tag} is not served in chat templates", node.lineno)
    if isinstance(node, nodes.For) and node.recursive:
        raise TemplateSyntaxError("recursive loops are not served in chat templates", node.lineno)


def _count(node: nodes.Node) -> None:
    """Put the counting between a node and its children."""
    for name, value in list(node.iter_fields()):
        if isinstance(value, nodes.Node):
            setattr(node, name, _replaced(value))
        elif isinstance(value, list):
            value[:] = [_replaced(one) for one in value]
    if isinstance(node, nodes.For):
        assert isinstance(node.iter, nodes.Expr)
        node.iter = _through(ITERATED, node.iter)
    elif isinstance(node, nodes.Output):
        node.nodes = [_through(TEXT, _as_expression(child)) for child in node.nodes]
    elif isinstance(node, nodes.Compare):
        node.expr = _through(COMPARED, node.expr)
    elif isinstance(node, nodes.Operand):
        node.expr = _through(SEARCHED if node.op in ("in", "notin") else COMPARED, node.expr)
    elif isinstance(node, nodes.Pair):
        node.key = _through(KEY, node.key)


def _replaced(node: object) -> object:
    """What stands for a node that makes something new of its children."""
    if isinstance(node, nodes.Concat):
        return _through(CONCATENATED, nodes.List(node.nodes, lineno=node.lineno))
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        return _through(SLICED, node)
    if isinstance(node, nodes.Tuple) and node.ctx == "load":
        return nodes.List(node.items, lineno=node.lineno)
    return node


def _as_expression(node: nodes.Expr) -> nodes.Expr:
    return nodes.Const(node.data, lineno=node.lineno) if isinstance(node, nodes.TemplateData) else node


def _through(name: str, node: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
