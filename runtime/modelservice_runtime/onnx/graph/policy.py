"""What a model file may not bring, whatever ONNX Runtime would make of it; see `onnx.graph.scan`."""

from collections import Counter
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TypeAlias

from modelservice_runtime.errors import ModelLoadFailedError, ModelRejectedError

# Domain, name and overload, by which a node says what it does.
OperatorId: TypeAlias = tuple[str, str, str]
# The nodes of a graph and all graphs within.
Nodes: TypeAlias = Counter[OperatorId]

# Operators that ONNX Runtime itself brings; any other domain needs a custom operator library.
KNOWN_DOMAINS = frozenset(
    {
        "",
        "ai.onnx",
        "ai.onnx.ml",
        "ai.onnx.preview",
        "ai.onnx.preview.training",
        "ai.onnx.training",
        "com.microsoft",
        "com.microsoft.nchwc",
        "com.ms.internal.nhwc",
    }
)
# Where onnxruntime-extensions has its operators: tokenizers, audio and image decoders.
_EXTENSION_DOMAINS = frozenset({"ai.onnx.contrib", "com.microsoft.extensions"})
# Precompiled device code, or Python, hidden in a node: it runs outside every check. No function of the
# model's own makes up for the name.
REFUSED_OPERATORS = frozenset({("com.microsoft", "EPContext"), ("com.microsoft", "PythonOp")})
# ONNX Runtime copies the body of a function to wherever it is called, and a node takes about 2 KB.
MAX_EXPANDED_NODES = 1_000_000

_FOREIGN_FORMATS: tuple[tuple[bytes, str], ...] = (
    (
        b"age-encryption.org/v1",
        "encrypted by age; name its key in spec.model.decryption (serve -f: --decryption-dir, no --model)",
    ),
    (b"-----BEGIN AGE ENCRYPTED", "encrypted by age, as text; see spec.model.decryption"),
    (b"PK\x03\x04", "a zip archive, as torch.save writes it; export the model with torch.onnx.export"),
    (b"\x80\x02", "a Python pickle, which is never opened here; export the model to ONNX"),
    (b"\x80\x03", "a Python pickle, which is never opened here; export the model to ONNX"),
    (b"\x80\x04", "a Python pickle, which is never opened here; export the model to ONNX"),
    (b"\x80\x05", "a Python pickle, which is never opened here; export the model to ONNX"),
    (b"\x89HDF", "an HDF5 file, as Keras writes it; convert the model with tf2onnx"),
    (b"\x1f\x8b", "gzip-compressed; store the plain .onnx file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'"),
    (b"<", "an HTML or XML page, perhaps a login or an error page; check the model's address"),
    (b"{", "JSON, not an ONNX model"),
)


def check_operators(nodes: Nodes, functions: Mapping[OperatorId, Nodes]) -> None:
    """Accept what ONNX Runtime brings itself, and functions that the model defines.

    `nodes` are those of the graph, `functions` the nodes of each function. Raises ModelRejectedError.
    """
    used = Counter(nodes)
    for body in functions.values():
        used.update(body)
    for domain, operator, overload in sorted(used):
        if (domain, operator) in REFUSED_OPERATORS:
            raise ModelRejectedError(
                f"operator {operator!r} of domain {domain!r} is refused; export the plain model"
            )
        if domain not in KNOWN_DOMAINS and (domain, operator, overload) not in functions:
            raise ModelRejectedError(_describe_custom_operator(domain, operator))
    _check_expansion(nodes, functions)


def _describe_custom_operator(domain: str, operator: str) -> str:
    if domain in _EXTENSION_DOMAINS:
        return (
            f"operator {operator[:80]!r} of domain {domain!r} is one of onnxruntime-extensions; this server "
            "loads no operator libraries, so tokenize or decode before the request, or export that part with "
            "standard operators"
        )
    return (
        f"operator {operator[:80]!r} of domain {domain[:80]!r} is a custom operator; "
        "this server loads no operator libraries, export the model with standard operators"
    )


def _check_expansion(nodes: Nodes, functions: Mapping[OperatorId, Nodes]) -> None:
    """Count the nodes with every function called in place: thirty functions can make a billion."""
    calls = {name: [used for used in body if used in functions] for name, body in functions.items()}
    sizes: dict[OperatorId, int] = {}
    try:
        for name in TopologicalSorter(calls).static_order():
            sizes[name] = _expanded(functions[name], sizes)
    except CycleError:
        raise ModelRejectedError(
            "a function of the model calls itself; export the model without it"
        ) from None
    if max([_expanded(nodes, sizes), *sizes.values()]) > MAX_EXPANDED_NODES:
        raise ModelRejectedError(
            f"with its functions called in place the model has over {MAX_EXPANDED_NODES} nodes; "
            "export it with fewer function calls"
        )


def _expanded(nodes: Nodes, sizes: Mapping[OperatorId, int]) -> int:
    return sum(count * max(sizes.get(name, 1), 1) for name, count in nodes.items())


def refuse_foreign_format(content: memoryview) -> None:
    """Name the format of a file that is no ONNX. Raises ModelLoadFailedError or ModelRejectedError."""
    head = bytes(content[:32])
    if head[4:8] == b"ORTM":
        raise ModelRejectedError(
            "the file is in the ORT format, which is not accepted; provide the .onnx file"
        )
    for magic, meaning in _FOREIGN_FORMATS:
        if head.startswith(magic):
            raise ModelLoadFailedError(f"the file is {meaning}")
