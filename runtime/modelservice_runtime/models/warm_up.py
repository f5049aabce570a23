"""What a few runs on samples or made-up inputs tell of a model: that it runs, on what, and how fast."""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from modelservice_runtime.errors import ServingError
from modelservice_runtime.model import WarmableModel
from modelservice_runtime.models.samples import NO_SAMPLES, Samples
from modelservice_runtime.onnx.made_up import MAX_ELEMENTS, Recipe, count_inputs, first_recipes, make_inputs
from modelservice_runtime.tensors import Array

# A loop may never end on made-up values.
_LIMIT_SECONDS = 60.0
# Time for inputs that turn out not to suit the model.
_SEARCH_SECONDS = 2.0
_MAX_SEARCH_ELEMENTS = 1 << 21
# Who takes this long is run once: the first run's extra work is small beside it, and a start is waited for.
_SLOW_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Warmed:
    """`run_seconds`: median time of a run on `input_elements` elements; None where the model did not run.

    `recipe` made the inputs up, where they were. `note` says what went wrong, where something did.
    """

    run_seconds: float | None
    input_elements: int
    recipe: Recipe | None = None
    note: str = ""


def warm_up(model: WarmableModel, samples: Samples = NO_SAMPLES) -> Warmed:
    """Run the first sample or made-up inputs that suit the model: fill caches, and time a run.

    A model may dislike all of them; that is noted, not fatal.
    """
    elements = count_inputs(model.spec.inputs, Recipe(shapes=samples.shapes))
    if elements > MAX_ELEMENTS and not samples.inputs:
        return Warmed(None, elements, note="the inputs are too large to make up")
    first_error: ServingError | None = None
    search_until = time.perf_counter() + _SEARCH_SECONDS
    for inputs, recipe in _inputs_to_try(model, samples):
        try:
            run_seconds = _measure(model, inputs)
        except ServingError as error:
            first_error = first_error or error
            if time.perf_counter() > search_until:
                break
        else:
            return Warmed(run_seconds, sum(array.size for array in inputs.values()), recipe)
    kind = "samples and synthetic inputs" if samples.inputs else "synthetic inputs"
    return Warmed(None, elements, note=f"the model did not run on {kind}: {first_error}")


def try_run(model: WarmableModel, samples: Samples = NO_SAMPLES) -> None:
    """Run the model once, on what suits it; see `warm_up`."""
    search_until = time.perf_counter() + _SEARCH_SECONDS
    for inputs, _ in _inputs_to_try(model, samples):
        try:
            _run_for_a_while(model, inputs)
        except ServingError:
            if time.perf_counter() > search_until:
                return
        else:
            return


def _inputs_to_try(
    model: WarmableModel, samples: Samples
) -> Iterator[tuple[Mapping[str, Array], Recipe | None]]:
    for sample in samples.inputs:
        yield sample, None
    for recipe in first_recipes(model.spec.inputs, samples.shapes):
        most = MAX_ELEMENTS if recipe.size == 1 else _MAX_SEARCH_ELEMENTS
        if count_inputs(model.spec.inputs, recipe) <= most:
            yield make_inputs(model.spec.inputs, recipe), recipe


def _measure(model: WarmableModel, inputs: Mapping[str, Array]) -> float:
    """Median of up to 20 runs within a tenth of a second, after a first; for a slow model the first's."""
    started = time.perf_counter()
    _run_for_a_while(model, inputs)
    first_seconds = time.perf_counter() - started
    if first_seconds >= _SLOW_SECONDS:
        return first_seconds
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < 20 and (not times or time.perf_counter() - started < 0.1):
        before = time.perf_counter()
        model.run(inputs, model.spec.output_names)
        times.append(time.perf_counter() - before)
    return sorted(times)[len(times) // 2]


def _run_for_a_while(model: WarmableModel, inputs: Mapping[str, Array]) -> None:
    handle = model.new_run()
    timer = threading.Timer(_LIMIT_SECONDS, handle.stop)
    timer.daemon = True
    timer.start()
    try:
        model.run(inputs, model.spec.output_names, handle)
    finally:
        timer.cancel()
