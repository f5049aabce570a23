"""A look into a model file before ONNX Runtime opens it: refuses what must not be loaded.

Reads the protobuf wire format of `onnx.proto` (field numbers from onnx/onnx.proto, IR version 13) far
enough to find external data, operator domains and declared shapes. It needs no protobuf library, allocates
nothing of the file's size, and bounds nesting, so a hostile file cannot crash it.
"""

import mmap
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from modelservice_runtime.errors import ModelLoadFailedError, ModelRejectedError
from modelservice_runtime.onnx.graph.compound_outputs import Labels, find_label_obstacle
from modelservice_runtime.onnx.graph.files import NO_FILES, ModelFiles, find_model_files
from modelservice_runtime.onnx.graph.policy import (
    Nodes,
    OperatorId,
    check_operators,
    refuse_foreign_format,
)
from modelservice_runtime.onnx.graph.wire import MAX_TEXT_BYTES, fields, parts, text
from modelservice_runtime.onnx.graph.zip_map import ZIP_MAP, read_labels

MAX_GRAPH_DEPTH = 32
# The last four decode sequences of a length that the request may ask for.
_LOOP_OPERATORS = frozenset({"Loop", "Scan", "BeamSearch", "GreedySearch", "Sampling", "WhisperBeamSearch"})
_CONTROL_FLOW_OPERATORS = _LOOP_OPERATORS | {"If"}
# Operators whose output is as large as the values of these inputs say.
_SIZE_INPUTS: dict[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,), "Range": (0, 1, 2), "Expand": (1,), "Tile": (1,), "Upsample": (1,),
    "Resize": (2, 3), "Pad": (1,), "CenterCropPad": (1,), "OneHot": (1,), "DFT": (1,), "BlackmanWindow": (0,),
    "HammingWindow": (0,), "HannWindow": (0,), "MelWeightMatrix": (0, 1),
}  # fmt: skip
# ONNX Runtime divides integers by the processor's instruction, which has no answer where the quotient of the
# smallest number and -1 does not fit, and ends the process.
_DIVISIONS = frozenset({"Div", "Mod"})
# In ONNX Runtime 1.32 they end the process, by a signal or std::terminate, for tensors without elements.
_NEED_ELEMENTS = frozenset({
    "AttnLSTM", "Attention", "ConvTranspose", "DeepCpuLstm", "DynamicQuantizeLSTM", "GRU", "LSTM", "STFT",
})  # fmt: skip
# Their outputs hold the values of their inputs.
_MOVING_OPERATORS = frozenset({
    "Concat", "Expand", "Flatten", "Gather", "Identity", "Max", "Min", "ReduceMax", "ReduceMin", "Reshape",
    "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Where",
})  # fmt: skip
# Their outputs depend on how large an input is, not on its values.
_SHAPE_OPERATORS = frozenset({"Shape", "Size"})


@dataclass(frozen=True, slots=True)
class _Node:
    operator: OperatorId
    inputs: list[str]
    outputs: list[str]


@dataclass(slots=True)
class ModelScan:
    """What the file declares: versions, tensors without a stated rank, external data files, control flow.

    `files` is known of a model that is a file. `class_labels` are those of ZipMaps, by their outputs.
    """

    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    unranked: set[str] = field(default_factory=set)
    external_locations: set[str] = field(default_factory=set)
    files: ModelFiles = NO_FILES
    class_labels: dict[str, Labels] = field(default_factory=dict)
    _inputs: set[str] = field(default_factory=set)
    _initializers: set[str] = field(default_factory=set)
    _main: list[_Node] = field(default_factory=list)
    _nodes: Nodes = field(default_factory=Counter)
    _functions: dict[OperatorId, Nodes] = field(default_factory=dict)

    @property
    def time_varies(self) -> bool:
        """True when a value in a request may decide how long a run takes."""
        if not _LOOP_OPERATORS.isdisjoint(self._names()):
            return True
        inner = self._names() if self._functions else {node[1] for node in self._nested()}
        return not inner.isdisjoint(_SIZE_INPUTS) or self._values_decide_sizes()

    @property
    def plain_zip_maps(self) -> set[str]:
        """Outputs of ZipMaps whose labels are known, and that no other node can read."""
        if self._nested():
            return set()
        read = {name for node in self._main for name in node.inputs}
        return {
            name
            for name, labels in self.class_labels.items()
            if name not in read and find_label_obstacle(labels) is None
        }

    @property
    def requested(self) -> set[str]:
        """Inputs that a request has to bring."""
        return self._inputs - self._initializers

    @property
    def has_control_flow(self) -> bool:
        """True when a run may take one of several ways through the graph."""
        return not _CONTROL_FLOW_OPERATORS.isdisjoint(self._names())

    @property
    def needing_elements(self) -> set[str]:
        """Operators, wherever in the graph, for whose sake no input may be without elements."""
        return self._names() & _NEED_ELEMENTS

    @property
    def dividends(self) -> set[str]:
        """Inputs whose values are divided as they are, or remainders taken of them."""
        found: set[str] = set()
        origins = {name: {name} for name in self.requested}
        for node in self._main:
            name = node.operator[1]
            if name in _DIVISIONS:
                found |= origins.get(node.inputs[0], set()) if node.inputs else set()
            elif name in _MOVING_OPERATORS:
                values = set().union(*(origins.get(value, set()) for value in node.inputs))
                origins.update(dict.fromkeys(node.outputs, values))
        return found

    def _names(self) -> set[str]:
        return {node[1] for nodes in (self._nodes, *self._functions.values()) for node in nodes}

    def _nested(self) -> Nodes:
        return self._nodes - Counter(node.operator for node in self._main)

    def _values_decide_sizes(self) -> bool:
        """Follow the request's values through the main graph, to where one says how large something gets."""
        from_request = self.requested
        for node in self._main:
            name = node.operator[1]
            if any(
                node.inputs[at] in from_request for at in _SIZE_INPUTS.get(name, ()) if at < len(node.inputs)
            ):
                return True
            if name not in _SHAPE_OPERATORS and not from_request.isdisjoint(node.inputs):
                from_request.update(node.outputs)
        return False


def scan_model_file(path: Path) -> ModelScan:
    """Scan the file at `path` and find its external data.

    Raises ModelLoadFailedError for files that are no ONNX models, ModelRejectedError for what policy refuses,
    and OSError where the file cannot be read.
    """
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        raise ModelLoadFailedError("the model file is empty; fetch or export it again")
    with path.open("rb") as file:
        # Unmapped when the last slice is gone; an exception in flight may hold slices for a moment longer.
        scan = scan_model(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    scan.files = find_model_files(path, scan.external_locations)
    return scan


def scan_model(content: memoryview) -> ModelScan:
    """Scan a serialized ModelProto; see `scan_model_file`. External files are only listed."""
    refuse_foreign_format(content)
    scan = ModelScan()
    seen_graph = False
    for number, value in fields(content):
        if isinstance(value, int):
            scan.ir_version = value if number == 1 else scan.ir_version
        elif number == 7:
            seen_graph = True
            _scan_main_graph(value, scan)
        elif number == 8:
            _scan_opset(value, scan)
        elif number == 20:
            raise ModelRejectedError("the model carries training information; export it for inference only")
        elif number == 25:
            _scan_function(value, scan)
    if not seen_graph:
        raise ModelLoadFailedError(
            "the file holds no ONNX graph; check that it is the right file and complete"
        )
    check_operators(scan._nodes, scan._functions)
    return scan


def _scan_main_graph(graph: memoryview, scan: ModelScan) -> None:
    for number, value in parts(graph):
        if number == 1:
            node = _scan_node(value, scan, scan._nodes, depth=0)
            scan._main.append(node)
            if node.operator[:2] == ZIP_MAP:
                scan.class_labels.update(dict.fromkeys(node.outputs, read_labels(value)))
        elif number == 5:
            scan._initializers.add(_scan_tensor(value, scan, may_be_external=True))
        elif number == 11:
            scan._inputs.add(_scan_value_info(value, scan))
        elif number == 12:
            _scan_value_info(value, scan)
        elif number == 15:
            _scan_sparse_tensor(value, scan)


def _scan_inner_graph(graph: memoryview, scan: ModelScan, nodes: Nodes, depth: int) -> None:
    if depth > MAX_GRAPH_DEPTH:
        raise ModelRejectedError(f"graphs are nested more than {MAX_GRAPH_DEPTH} deep")
    for number, value in parts(graph):
        if number == 1:
            _scan_node(value, scan, nodes, depth)
        elif number == 5:
            _scan_tensor(value, scan, may_be_external=False)
        elif number == 15:
            _scan_sparse_tensor(value, scan)


def _scan_opset(opset: memoryview, scan: ModelScan) -> None:
    domain, version = "", 0
    for number, value in fields(opset):
        if number == 1 and isinstance(value, memoryview):
            domain = text(value)
        elif number == 2 and isinstance(value, int):
            version = value
    scan.opsets[domain] = version


def _scan_function(function: memoryview, scan: ModelScan) -> None:
    texts: dict[int, str] = {}
    nodes: Nodes = Counter()
    for number, value in parts(function):
        if number in (1, 10, 13):
            texts[number] = text(value)
        elif number == 7:
            _scan_node(value, scan, nodes, depth=1)
        elif number == 11:
            _scan_attribute(value, scan, nodes, depth=1)
    name = (texts.get(10, ""), texts.get(1, ""), texts.get(13, ""))
    scan._functions.setdefault(name, Counter()).update(nodes)


def _scan_node(node: memoryview, scan: ModelScan, nodes: Nodes, depth: int) -> _Node:
    texts: dict[int, str] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    for number, value in parts(node):
        if number == 1:
            inputs.append(text(value))
        elif number == 2:
            outputs.append(text(value))
        elif number in (4, 7, 8):
            texts[number] = text(value)
        elif number == 5:
            _scan_attribute(value, scan, nodes, depth)
    operator = (texts.get(7, ""), texts.get(4, ""), texts.get(8, ""))
    if operator[1] == "BatchNormalization":
        _check_normalization(node, outputs)
    nodes[operator] += 1
    return _Node(operator, inputs, outputs)


def _check_normalization(node: memoryview, outputs: list[str]) -> None:
    """Refuse training mode: ONNX Runtime keeps the statistics of one request for the next ones."""
    trains = False
    for number, value in parts(node):
        if number == 5:
            attribute = dict(fields(value))
            name = attribute.get(1)
            is_mode = isinstance(name, memoryview) and text(name) == "training_mode"
            trains = trains or (is_mode and bool(attribute.get(3)))
    if trains or any(outputs[1:]):
        raise ModelRejectedError(
            "a BatchNormalization of the model is in training mode, so that each request would change the "
            "answers to others; export the model for inference (PyTorch: model.eval())"
        )


def _scan_attribute(attribute: memoryview, scan: ModelScan, nodes: Nodes, depth: int) -> None:
    for number, value in parts(attribute):
        if number in (5, 10):
            _scan_tensor(value, scan, may_be_external=False)
        elif number in (6, 11):
            _scan_inner_graph(value, scan, nodes, depth + 1)
        elif number in (22, 23):
            _scan_sparse_tensor(value, scan)


def _scan_sparse_tensor(sparse: memoryview, scan: ModelScan) -> None:
    for number, value in parts(sparse):
        if number in (1, 2):
            _scan_tensor(value, scan, may_be_external=False)


def _scan_tensor(tensor: memoryview, scan: ModelScan, *, may_be_external: bool) -> str:
    """Note external data; returns the tensor's name."""
    name = ""
    locations: list[str] = []
    external = False
    for number, value in fields(tensor):
        if number == 8 and isinstance(value, memoryview):
            name = text(value)
        elif number == 14:
            # Whatever it says: a parser with 32 bits may read another number than this one.
            external = external or value != 0
        elif number == 13 and isinstance(value, memoryview):
            external = True
            locations += _location(value)
    if not external:
        return name
    if not may_be_external:
        raise ModelRejectedError(
            "only the main graph's initializers may have external data; store the others inline"
        )
    if not locations:
        raise ModelLoadFailedError("a tensor has external data without a location; export the model again")
    scan.external_locations.update(locations)
    return name


def _location(entry: memoryview) -> list[str]:
    """The file's name, where this entry of the external data's description holds it."""
    described = dict(parts(entry))
    if text(described.get(1, memoryview(b""))) != "location":
        return []
    value = described.get(2, memoryview(b""))
    if len(value) > MAX_TEXT_BYTES:
        raise ModelRejectedError("the model has external data under a name longer than any path")
    return [text(value)]


def _scan_value_info(info: memoryview, scan: ModelScan) -> str:
    """Note a missing rank; returns the value's name."""
    name = ""
    has_shape = True
    for number, value in fields(info):
        if number == 1 and isinstance(value, memoryview):
            name = text(value)
        elif number == 2 and isinstance(value, memoryview):
            for kind, tensor_type in fields(value):
                if kind == 1 and isinstance(tensor_type, memoryview):
                    has_shape = any(n == 2 for n, _ in fields(tensor_type))
    if not has_shape:
        scan.unranked.add(name)
    return name
