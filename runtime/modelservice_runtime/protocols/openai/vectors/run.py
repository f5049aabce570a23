"""Runs texts through a model of tensors, and answers in OpenAI's words."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from modelservice_runtime.errors import InferenceFailedError, NotFoundError, ServingError
from modelservice_runtime.execution.offload import LARGE_VALUES, LateAnswer
from modelservice_runtime.models.repository import ModelHandle, ModelTable
from modelservice_runtime.models.text_inputs import Text, TextInputs, Tokens, group_places
from modelservice_runtime.protocols.decoding import decode_on_a_thread
from modelservice_runtime.protocols.inference import RunsCall, count_failures, infer_inline
from modelservice_runtime.protocols.openai.answering.prompts import prepare
from modelservice_runtime.protocols.openai.asking.fields import shown
from modelservice_runtime.protocols.openai.errors import FieldError, UnknownModelError, openai_error_response
from modelservice_runtime.protocols.rest.answers import send
from modelservice_runtime.protocols.rest.deadline import header_timeout_seconds
from modelservice_runtime.tensors import BF16, Array, InferRequest, TensorSpec, fp32_from_bf16
from modelservice_runtime.transport.http import HttpRequest, HttpResponse

# As many tokens as texts for a tokenizer beside the graph have in a run.
_MAX_CHARACTERS_OF_A_RUN = 8192


def find_tensor_model(table: ModelTable, name: str) -> ModelHandle:
    """The model of tensors of this name. Raises UnknownModelError, ModelUnavailableError and FieldError."""
    if table.find_generative(name) is not None:
        raise FieldError(f"model '{name}' generates text; it gives no vectors and no scores", "model")
    try:
        return table.find(name, None)
    except NotFoundError:
        raise UnknownModelError(
            f"the model {shown(name)} does not exist; GET /v1/models lists those that do"
        ) from None


def run_texts(
    handle: ModelHandle,
    request: HttpRequest,
    inputs: dict[str, Array],
    output: TensorSpec,
    encode: Callable[[Array], HttpResponse],
) -> HttpResponse | None:
    """Run texts now, or in their turn; then the answer comes later. Raises ServingError.

    `encode` gets the output as float32 with one row for each text.
    """
    lengths = [sum(map(len, texts)) for texts in zip(*map(np.ravel, inputs.values()), strict=True)]
    groups = group_places(lengths, _MAX_CHARACTERS_OF_A_RUN)
    timeout_seconds = header_timeout_seconds(request.headers)
    requests = [
        InferRequest(
            {name: texts[places] for name, texts in inputs.items()},
            (output.name,),
            timeout_seconds=timeout_seconds,
            text_bytes=len(request.body) // len(groups),
        )
        for places in groups
    ]
    write = partial(_write, output, groups, encode)

    def start() -> HttpResponse | None:
        is_one = len(requests) == 1
        response = infer_inline(handle, requests[0], request.received_ns, write) if is_one else None
        if isinstance(response, HttpResponse):
            return response
        call = RunsCall(handle, request.received_ns, write, partial(_reply, request))
        request.on_disconnect = call.cancel
        if isinstance(response, LateAnswer):
            call.go_on(requests[0], response)
        else:
            call.enqueue_all(requests, timeout_seconds)
        return None

    return count_failures(handle, request.received_ns, start)


def run_tokens(
    handle: ModelHandle,
    request: HttpRequest,
    texts: Sequence[Text],
    encode: Callable[[Array, int], HttpResponse],
) -> None:
    """Tokenize texts on a thread, and run them in their turns; the answer comes later. Raises ServingError.

    `encode` gets the output as float32 with one row for each text, and how many tokens those had.
    """
    reader = handle.texts
    assert reader is not None
    timeout_seconds = header_timeout_seconds(request.headers)

    def run(tokens: Tokens) -> Callable[[], None]:
        request.tell({"gen_ai.usage.input_tokens": tokens.count})
        output = (reader.told.output.name,)
        write = partial(_write_tokens, reader, tokens, encode)
        call = RunsCall(handle, request.received_ns, write, partial(_reply, request))
        call.enqueue_all([InferRequest(group.inputs, output) for group in tokens.groups], timeout_seconds)
        return call.cancel

    def start() -> Callable[[], None]:
        read, fail = partial(reader.read, texts), partial(_reply, request)
        # Of a large request it takes seconds, in which nobody's tensors are to wait.
        on_thread = partial(prepare, request.owner, len(request.body))
        return decode_on_a_thread(handle, request.received_ns, read, run, fail, on_thread)

    request.on_disconnect = count_failures(handle, request.received_ns, start)


def text_array(tensor: TensorSpec, texts: Sequence[str]) -> Array:
    """Texts as the model takes them: a list, or a column."""
    array = np.empty(len(texts), object)
    array[:] = texts
    return array.reshape(-1, 1) if tensor.shape == (-1, 1) else array


def _write(
    output: TensorSpec,
    groups: Sequence[Sequence[int]],
    encode: Callable[[Array], HttpResponse],
    outputs: Sequence[Array],
) -> HttpResponse | LateAnswer[HttpResponse]:
    for places, values in zip(groups, outputs, strict=True):
        if not values.ndim or len(values) != len(places):
            raise InferenceFailedError(f"the model gave {list(values.shape)} numbers for {len(places)} texts")

    def write() -> HttpResponse:
        values = np.concatenate(outputs)[np.argsort(np.concatenate(groups))]
        numbers = fp32_from_bf16(values) if output.datatype is BF16 else values.astype(np.float32, copy=False)
        return encode(_finite(numbers))

    return LateAnswer(write) if sum([one.size for one in outputs]) >= LARGE_VALUES else write()


def _write_tokens(
    reader: TextInputs, tokens: Tokens, encode: Callable[[Array, int], HttpResponse], outputs: Sequence[Array]
) -> HttpResponse | LateAnswer[HttpResponse]:
    def write() -> HttpResponse:
        return encode(_finite(reader.finish(outputs, tokens)), tokens.count)

    return LateAnswer(write) if sum([one.size for one in outputs]) >= LARGE_VALUES else write()


def _finite(rows: Array) -> Array:
    """Rows that can be told: JSON has no word for the others, and nobody can compare by them."""
    good = np.isfinite(rows.reshape(len(rows), -1)).all(axis=1)
    if not good.all():
        raise InferenceFailedError(
            f"the model gives NaN or an infinity for text {int(good.argmin()) + 1} of {len(rows)}; leave "
            "that text out, or export the model again"
        )
    return rows


def _reply(request: HttpRequest, answer: HttpResponse | ServingError) -> None:
    send(request, openai_error_response(answer) if isinstance(answer, ServingError) else answer)
