"""Says whether row i of every output of a model depends on row i of its inputs only."""

from dataclasses import dataclass

from modelservice_runtime.onnx.rows.graph_file import Declared, ModelFile, read_model, readable
from modelservice_runtime.onnx.rows.interpreter import EndlessGraphError, Interpreter
from modelservice_runtime.onnx.rows.sizes import ROWS, MixingError, Size, Symbols
from modelservice_runtime.onnx.rows.values import Mixed, Tensor, Value


@dataclass(frozen=True, slots=True)
class RowProof:
    """`obstacle` is None where rows are independent, else the sentence that says what speaks against it."""

    obstacle: str | None


def prove_rows(content: memoryview) -> RowProof:
    """Analyse a serialized ModelProto.

    Proven means: all requests in a batch may have any number of rows, and the outputs of each are as if it
    had been alone, provided that they agree in all other dimensions of the inputs. Dimension 0 of every input
    and output is the batch, and neither its size nor the place of a row in it decides a value. Operators are
    taken at their specification; that a runtime computes larger batches by other instructions, with another
    rounding, is not seen here, nor that a product of sizes beyond 2^31 wraps around in INT32.

    Raises ModelLoadFailedError for files that the server does not load anyway.
    """
    try:
        return RowProof(_find_obstacle(read_model(content)))
    except (MixingError, EndlessGraphError) as error:
        return RowProof(str(error))


def _find_obstacle(model: ModelFile) -> str | None:
    interpreter = Interpreter(model)
    inputs: dict[str, Value] = {}
    for declared in model.graph.inputs:
        # ONNX Runtime lets nobody override these without asking for it, and the server offers them to nobody.
        if declared.name in model.graph.constants or declared.name in model.graph.sparse_constants:
            continue
        if declared.name in inputs:
            return f"the input {readable(declared.name)!r} is given twice"
        inputs[declared.name] = _input(declared, interpreter.symbols)
    if not inputs:
        return "the model has no inputs"
    values = interpreter.run(inputs)
    obstacles = (_output_obstacle(*pair) for pair in zip(model.graph.outputs, values, strict=True))
    return next((obstacle for obstacle in obstacles if obstacle is not None), None)


def _input(declared: Declared, symbols: Symbols) -> Tensor:
    """ONNX Runtime checks the rank and the fixed dimensions of what a request sends, and nothing else."""
    name = readable(declared.name)
    if not declared.is_tensor:
        raise MixingError(f"the input {name!r} is no tensor")
    if declared.dims is None:
        raise MixingError(
            f"the input {name!r} has no stated rank, so its first dimension may not be the batch"
        )
    if not declared.dims:
        raise MixingError(f"the input {name!r} is a single number without a batch")
    if declared.dims[0] >= 0:
        raise MixingError(f"the input {name!r} has the fixed first dimension {declared.dims[0]}")
    rest = (Size(dim) if dim >= 0 else symbols.fresh() for dim in declared.dims[1:])
    return Tensor((ROWS, *rest), 0)


def _output_obstacle(declared: Declared, value: Value) -> str | None:
    if isinstance(value, Mixed):
        return value.why
    name = readable(declared.name)
    if value.counts_rows or value.is_places or value.first_is_place:
        return f"the output {name!r} tells the number of rows in the batch"
    if value.padding is not None:
        return f"the output {name!r} is padded to the longest row of the batch"
    if value.axis is None:
        return f"the output {name!r} has no dimension for the batch"
    if value.axis != 0:
        return f"the output {name!r} has the rows along axis {value.axis}, not along the first"
    if value.dims is None or value.dims[0] != ROWS:
        return f"the output {name!r} has not exactly one entry for each row along its first dimension"
    return None
