"""A look into a model file before ONNX Runtime opens it: refuses what must not be loaded.

Reads the protobuf wire format of ``onnx.proto`` (field numbers from onnx/onnx.proto, IR version 13) far
enough to find external data, operator domains and declared shapes. It needs no protobuf library, allocates
nothing of the file's size, and bounds nesting, so a hostile file cannot crash it.
"""

import mmap
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from modelservice_runtime.errors import ModelLoadFailedError, ModelRejectedError

# Operators that ONNX Runtime itself brings; any other domain needs a custom operator library.
KNOWN_DOMAINS = frozenset(
    {
        "",
        "ai.onnx",
        "ai.onnx.ml",
        "ai.onnx.preview",
        "com.microsoft",
        "com.microsoft.nchwc",
        "com.ms.internal.nhwc",
    }
)
# Precompiled device code hidden in a node: it runs outside every check.
REFUSED_OPERATORS = frozenset({("com.microsoft", "EPContext")})
MAX_GRAPH_DEPTH = 32
_LOOP_OPERATORS = frozenset({"Loop", "Scan"})
_CONTROL_FLOW_OPERATORS = _LOOP_OPERATORS | {"If"}

_FOREIGN_FORMATS: tuple[tuple[bytes, str], ...] = (
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

Value: TypeAlias = int | memoryview


@dataclass(slots=True)
class ModelScan:
    """What the file declares: versions, tensors without a stated rank, external data files, control flow."""

    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    unranked: set[str] = field(default_factory=set)
    external_locations: set[str] = field(default_factory=set)
    _operators: set[tuple[str, str]] = field(default_factory=set)
    _local_functions: set[tuple[str, str]] = field(default_factory=set)

    @property
    def has_loops(self) -> bool:
        """True when a value in a request may decide how long a run takes."""
        return any(operator in _LOOP_OPERATORS for _, operator in self._operators)

    @property
    def has_control_flow(self) -> bool:
        """True when a run may take one of several ways through the graph."""
        return any(operator in _CONTROL_FLOW_OPERATORS for _, operator in self._operators)


def scan_model_file(path: Path) -> ModelScan:
    """Scan the file at ``path`` (already resolved) and its external data.

    Raises ModelLoadFailedError for files that are no ONNX models, ModelRejectedError for what policy refuses.
    """
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        raise ModelLoadFailedError("the model file is empty; fetch or export it again")
    with path.open("rb") as file:
        # Unmapped when the last slice is gone; an exception in flight may hold slices for a moment longer.
        scan = scan_model(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    for location in sorted(scan.external_locations):
        check_external_file(path.parent, location)
    return scan


def scan_model(content: memoryview) -> ModelScan:
    """Scan a serialized ModelProto; see ``scan_model_file``. External files are only listed."""
    _refuse_foreign_format(content)
    scan = ModelScan()
    seen_graph = False
    for number, value in _fields(content):
        if number == 7 and isinstance(value, memoryview):
            seen_graph = True
            _scan_graph(value, scan, depth=0)
        elif number == 25 and isinstance(value, memoryview):
            _scan_function(value, scan)
        elif number == 1 and isinstance(value, int):
            scan.ir_version = value
        elif number == 8 and isinstance(value, memoryview):
            _scan_opset(value, scan)
        elif number == 20:
            raise ModelRejectedError("the model carries training information; export it for inference only")
    if not seen_graph:
        raise ModelLoadFailedError(
            "the file holds no ONNX graph; check that it is the right file and complete"
        )
    _check_operators(scan)
    return scan


def check_external_file(directory: Path, location: str) -> None:
    """Accept external data only as a plain file of its own inside the model's directory.

    ``location`` comes from the model. Raises ModelRejectedError for absolute paths, '..', symbolic links,
    hard links and anything that is not a regular file; ModelLoadFailedError when the file is missing.
    """
    path = PurePosixPath(location)
    # ONNX Runtime reads "*/_ORT_MEM_ADDR_/..." as an address in memory.
    if not path.parts or path.is_absolute() or ".." in path.parts or location[0] == "*" or "\0" in location:
        raise ModelRejectedError(
            f"external data location {location[:200]!r} leads outside the model's directory; "
            "save the data as a file beside the model"
        )
    current = directory
    for part in path.parts:
        current = current / part
        status = _status_without_following(current, location)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise ModelRejectedError(
            f"external data {location[:200]!r} must be a regular file without hard links"
        )


def _status_without_following(path: Path, location: str) -> os.stat_result:
    try:
        status = path.lstat()
    except OSError:
        raise ModelLoadFailedError(
            f"external data file {location[:200]!r} is missing; fetch it together with the model"
        ) from None
    if stat.S_ISLNK(status.st_mode):
        raise ModelRejectedError(
            f"external data {location[:200]!r} is a symbolic link; store the file itself"
        )
    return status


def _refuse_foreign_format(content: memoryview) -> None:
    head = bytes(content[:32])
    if head[4:8] == b"ORTM":
        raise ModelRejectedError(
            "the file is in the ORT format, which is not accepted; provide the .onnx file"
        )
    for magic, meaning in _FOREIGN_FORMATS:
        if head.startswith(magic):
            raise ModelLoadFailedError(f"the file is {meaning}")


def _check_operators(scan: ModelScan) -> None:
    for domain, operator in sorted(scan._operators - scan._local_functions):
        if (domain, operator) in REFUSED_OPERATORS:
            raise ModelRejectedError(
                f"operator {operator!r} of domain {domain!r} is refused; export the plain model"
            )
        if domain not in KNOWN_DOMAINS and not domain.startswith("ai.onnx."):
            raise ModelRejectedError(
                f"operator {operator[:80]!r} of domain {domain[:80]!r} is a custom operator; "
                "this server loads no operator libraries, export the model with standard operators"
            )


def _scan_graph(graph: memoryview, scan: ModelScan, depth: int) -> None:
    if depth > MAX_GRAPH_DEPTH:
        raise ModelRejectedError(f"graphs are nested more than {MAX_GRAPH_DEPTH} deep")
    for number, value in _fields(graph):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            _scan_node(value, scan, depth)
        elif number == 5:
            _scan_tensor(value, scan, may_be_external=depth == 0)
        elif number == 15:
            _scan_sparse_tensor(value, scan)
        elif number in (11, 12) and depth == 0:
            _scan_value_info(value, scan)


def _scan_opset(opset: memoryview, scan: ModelScan) -> None:
    domain, version = "", 0
    for number, value in _fields(opset):
        if number == 1 and isinstance(value, memoryview):
            domain = _text(value)
        elif number == 2 and isinstance(value, int):
            version = value
    scan.opsets[domain] = version


def _scan_function(function: memoryview, scan: ModelScan) -> None:
    name = domain = ""
    for number, value in _fields(function):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            name = _text(value)
        elif number == 10:
            domain = _text(value)
        elif number == 7:
            _scan_node(value, scan, depth=1)
        elif number == 11:
            _scan_attribute(value, scan, depth=1)
    scan._local_functions.add((domain, name))


def _scan_node(node: memoryview, scan: ModelScan, depth: int) -> None:
    operator = domain = ""
    for number, value in _fields(node):
        if not isinstance(value, memoryview):
            continue
        if number == 4:
            operator = _text(value)
        elif number == 7:
            domain = _text(value)
        elif number == 5:
            _scan_attribute(value, scan, depth)
    scan._operators.add((domain, operator))


def _scan_attribute(attribute: memoryview, scan: ModelScan, depth: int) -> None:
    for number, value in _fields(attribute):
        if not isinstance(value, memoryview):
            continue
        if number in (5, 10):
            _scan_tensor(value, scan, may_be_external=False)
        elif number in (6, 11):
            _scan_graph(value, scan, depth + 1)
        elif number in (22, 23):
            _scan_sparse_tensor(value, scan)


def _scan_sparse_tensor(sparse: memoryview, scan: ModelScan) -> None:
    for number, value in _fields(sparse):
        if number in (1, 2) and isinstance(value, memoryview):
            _scan_tensor(value, scan, may_be_external=False)


def _scan_tensor(tensor: memoryview, scan: ModelScan, *, may_be_external: bool) -> None:
    locations: list[str] = []
    external = False
    for number, value in _fields(tensor):
        if number == 14:
            external = external or value == 1
        elif number == 13 and isinstance(value, memoryview):
            external = True
            entry = {n: _text(v) for n, v in _fields(value) if isinstance(v, memoryview)}
            if entry.get(1) == "location":
                locations.append(entry.get(2, ""))
    if not external:
        return
    if not may_be_external:
        raise ModelRejectedError(
            "only the main graph's initializers may have external data; store the others inline"
        )
    if not locations:
        raise ModelLoadFailedError("a tensor has external data without a location; export the model again")
    scan.external_locations.update(locations)


def _scan_value_info(info: memoryview, scan: ModelScan) -> None:
    name = ""
    has_shape = True
    for number, value in _fields(info):
        if number == 1 and isinstance(value, memoryview):
            name = _text(value)
        elif number == 2 and isinstance(value, memoryview):
            for kind, tensor_type in _fields(value):
                if kind == 1 and isinstance(tensor_type, memoryview):
                    has_shape = any(n == 2 for n, _ in _fields(tensor_type))
    if not has_shape:
        scan.unranked.add(name)


def _text(value: memoryview) -> str:
    return bytes(value[:4096]).decode("utf-8", "replace")


def _fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield (field number, value) of a protobuf message; fixed-width values come as their bytes."""
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        wire_type = key & 7
        if wire_type == 0:
            number, position = _varint(message, position)
            yield key >> 3, number
            continue
        if wire_type == 2:
            length, position = _varint(message, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ModelLoadFailedError(_DAMAGED)
        if length > end - position:
            raise ModelLoadFailedError(_DAMAGED)
        yield key >> 3, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    result = shift = 0
    end = len(message)
    while position < end and shift < 70:
        byte = message[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
    raise ModelLoadFailedError(_DAMAGED)


_DAMAGED = "the file is truncated or is not an ONNX model; check its source and fetch it again"
