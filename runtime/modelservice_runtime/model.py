"""What a model is to the rest of the server: its specs, and something that runs.

Nothing here imports ONNX Runtime; `onnx.model` provides the implementation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from modelservice_runtime.tensors import BF16, BYTES, Array, Datatype, TensorSpec

PLATFORM = "onnx_onnxv1"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The signature of one version of a model; fixed from load to unload.

    `left_out` says of outputs that no protocol can carry why. `takes_texts` tells that an input is BYTES.
    `float_outputs` are the outputs that could hold NaN. `gives_numbers` tells that Python can add up every
    output's elements: none is BYTES or BF16, whose bits are integers here.
    """

    name: str
    version: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    input_by_name: Mapping[str, TensorSpec] = field(init=False, repr=False)
    output_by_name: Mapping[str, TensorSpec] = field(init=False, repr=False)
    output_names: tuple[str, ...] = field(init=False, repr=False)
    takes_texts: bool = field(init=False, repr=False)
    float_outputs: Mapping[str, Datatype] = field(init=False, repr=False)
    gives_numbers: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_by_name", {spec.name: spec for spec in self.inputs})
        object.__setattr__(self, "output_by_name", {spec.name: spec for spec in self.outputs})
        object.__setattr__(self, "output_names", tuple(spec.name for spec in self.outputs))
        object.__setattr__(self, "takes_texts", any(spec.datatype is BYTES for spec in self.inputs))
        floats = {spec.name: spec.datatype for spec in self.outputs if spec.datatype.is_float}
        object.__setattr__(self, "float_outputs", floats)
        gives_numbers = all(spec.datatype not in (BYTES, BF16) for spec in self.outputs)
        object.__setattr__(self, "gives_numbers", gives_numbers)


class Run(Protocol):
    """One call of a model, which another thread may stop."""

    def stop(self) -> None:
        """Ask the run to end early; it then raises DeadlineExceededError."""


class PreparedRun(Protocol):
    """Runs on memory of its own, without any work but the model's: write `inputs`, run, read `outputs`.

    One caller at a time; the next run writes to the same outputs.
    """

    @property
    def inputs(self) -> Mapping[str, Array]:
        """Arrays to write to, by the inputs' names; they keep their shapes."""

    @property
    def outputs(self) -> Sequence[Array]:
        """The last run's outputs, in the order they were prepared in."""

    def run(self) -> bool:
        """Compute; False where only `Model.run` can: the outputs have other shapes, or there is no memory.

        Raises what `Model.run` raises, where the model failed.
        """


class Model(Protocol):
    """A loaded model. `run` may be called from several threads at once."""

    @property
    def spec(self) -> ModelSpec:
        """The model's signature."""

    def new_run(self) -> Run:
        """A handle to pass to `run` when the call may have to be stopped."""

    def run(
        self, inputs: Mapping[str, Array], output_names: Sequence[str], handle: Run | None = None
    ) -> list[Array]:
        """Compute the named outputs, in that order.

        Raises InvalidRequestError, InputRefusedError, InferenceFailedError, OutputTooLargeError or
        DeadlineExceededError.
        """

    def prepare(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> PreparedRun | None:
        """Prepare for inputs and outputs of the same shapes as these; None where it is not worth it."""


class WarmableModel(Model, Protocol):
    """A model as it comes from its file."""

    @property
    def time_varies(self) -> bool:
        """True when values in a request may decide how long a run takes."""

    @property
    def is_coarse(self) -> bool:
        """True where an accelerator takes part, which may round FP32 to fewer bits."""


@dataclass(frozen=True, slots=True)
class Batching:
    """Whether requests to a version of a model share its runs; by default that is not even asked.

    `max_batch_size`: rows that may share a run, 1 where none do. `obstacle`: why none do, in a sentence;
    None where they do, or nobody wants them to. `source`: what says that a row of the outputs depends on
    the same row of the inputs only, the model's graph or its owner; None where nothing does. With a source
    and an obstacle, what the source says is still to be checked by running.
    """

    max_batch_size: int = 1
    obstacle: str | None = None
    source: Literal["graph", "owner"] | None = None

    @property
    def awaits_check(self) -> bool:
        """True while nothing but a check by running stands between requests and shared runs."""
        return self.source is not None and self.max_batch_size == 1


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What warm-up learned of a model.

    `run_seconds`: median time of a run on `input_elements` elements, None where it did not run.
    `time_varies`: values in a request decide how long it takes, as in a graph with loops. `is_coarse`: an
    accelerator takes part.
    """

    run_seconds: float | None
    input_elements: int
    time_varies: bool
    batching: Batching = Batching()
    is_coarse: bool = False
    note: str = ""
