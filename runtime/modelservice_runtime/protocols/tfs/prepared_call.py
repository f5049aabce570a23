"""What a verb makes of a request: what to run, and how to answer; pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.tensors import Array, InferRequest
from modelservice_runtime.transport.http import Buffer

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """`encode` makes the answer's body of the outputs, in the order in which `request` names them.

    A large one comes in pieces. It raises InvalidRequestError for outputs that the verb cannot show.
    """

    request: InferRequest
    encode: Callable[[Sequence[Array]], bytes | Sequence[Buffer]]


def check_signature_name(document: dict[str, Any], method_name: str) -> None:
    """Raise InvalidRequestError unless the request wants the one signature that there is.

    `method_name`, such as `tensorflow/serving/predict`, is taken as well: exporters name signatures so.
    """
    name = document.get("signature_name")
    if name is None:
        return
    if type(name) is not str:
        raise InvalidRequestError("'signature_name' must be a string")
    if name not in ("", DEFAULT_SIGNATURE, method_name):
        raise InvalidRequestError(
            f"signature {name[:100]!r} is unknown; the model has {DEFAULT_SIGNATURE!r}, which is the default"
        )
