"""What is known of a model once it was loaded and run: its speed, and whether requests may share runs."""

from collections.abc import Callable

from modelservice_runtime.model import WarmableModel, WarmUp
from modelservice_runtime.models.batching_decision import NO_WISH, BatchingWish, decide_batching
from modelservice_runtime.models.samples import NO_SAMPLES, Samples
from modelservice_runtime.models.warm_up import warm_up


def learn(
    model: WarmableModel,
    wish: BatchingWish = NO_WISH,
    prove: Callable[[], str | None] = lambda: None,
    samples: Samples = NO_SAMPLES,
) -> WarmUp:
    """Warm the model up and decide about its batches; `prove` is asked where batches are wanted."""
    warmed = warm_up(model, samples)
    batching = decide_batching(model, wish, prove, warmed, samples)
    return WarmUp(
        warmed.run_seconds,
        warmed.input_elements,
        model.time_varies,
        batching,
        is_coarse=model.is_coarse,
        note=warmed.note,
    )
