"""Domain errors of the runtime: what went wrong, without any protocol's status codes.

One table (`transport.status`) maps them to the codes of HTTP and gRPC. Messages are for people: they
name the field, what was expected and what to do, and never hold file paths or stack traces of requests.
"""


class ServingError(Exception):
    """A request cannot be answered; `str(error)` is the sentence for the client."""


class InvalidRequestError(ServingError):
    """The request itself is wrong: syntax, names, datatypes, shapes or sizes.

    `code` is OpenAI's word for programs, where it has one, such as `context_length_exceeded`; `param` is the
    field that is wrong, where one is known.
    """

    def __init__(self, sentence: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.param = param


class InputRefusedError(ServingError):
    """The model, while it ran, refused an input that fits its signature: an index past its table."""


class UnauthenticatedError(ServingError):
    """The request carries no key, token or certificate, or one that is not valid (any more)."""


class PermissionDeniedError(ServingError):
    """The client is known, but not allowed to do this."""


class PayloadTooLargeError(ServingError):
    """The body, before or after decompression, exceeds the limit."""


class UnsupportedEncodingError(ServingError):
    """The Content-Encoding is not one the server can decode."""


class NotFoundError(ServingError):
    """No such route, model or version."""


class ModelUnavailableError(ServingError):
    """The model is known but cannot answer now: loading, failed, or the server is leaving."""


class OverloadedError(ServingError):
    """A queue or a buffer is full; the client should come back in `retry_after_seconds`."""

    def __init__(self, sentence: str, retry_after_seconds: int = 1) -> None:
        super().__init__(sentence)
        self.retry_after_seconds = retry_after_seconds


class DeadlineExceededError(ServingError):
    """The time the client allowed has passed."""


class UnsupportedOperationError(ServingError):
    """A part of a known protocol that this server deliberately lacks."""


class OutputTooLargeError(ServingError):
    """The model could not get the memory that this input asks for."""


class DeviceLostError(ServingError):
    """The accelerator failed for good; another server may answer, this one is about to end."""


class InferenceFailedError(ServingError):
    """The model failed on a request that looked right."""


def internal_error() -> InferenceFailedError:
    """What a client is told of a fault of the server's own."""
    return InferenceFailedError("internal error; the server's log has the details")


class StartupError(Exception):
    """The server cannot start; it exits 1 and prints `reason: message` as its last line.

    `reason` is CamelCase and part of the contract with the operator.
    """

    reason = "StartupFailed"

    @property
    def sentence(self) -> str:
        """The message alone."""
        return super().__str__()

    def __str__(self) -> str:
        return f"{self.reason}: {self.sentence}"


class InvalidSettingsError(StartupError):
    """A flag's value, or a combination of flags, makes no sense."""

    reason = "InvalidSettings"


class AddressUnavailableError(StartupError):
    """A port cannot be listened on."""

    reason = "AddressUnavailable"


class ModelNotFoundError(StartupError):
    """The model's path does not lead to one model file."""

    reason = "ModelNotFound"


class AccessDeniedError(StartupError):
    """The model is there, and this process may not read it."""

    reason = "AccessDenied"


class ModelLoadFailedError(StartupError):
    """The file is not a model that ONNX Runtime can load."""

    reason = "ModelLoadFailed"


class ModelRejectedError(StartupError):
    """The model asks for something the server refuses by policy or cannot serve."""

    reason = "ModelRejected"


class WorkerFailedError(StartupError):
    """A worker process could not start; `reason` is its own where it told one."""

    reason = "WorkerFailed"

    def __init__(self, sentence: str, reason: str = "") -> None:
        super().__init__(sentence)
        if reason:
            self.reason = reason


class ExecutionProviderUnavailableError(StartupError):
    """An execution provider was asked for and ONNX Runtime did not give it."""

    reason = "ExecutionProviderUnavailable"


class AcceleratorFailedError(StartupError):
    """The accelerator failed while serving; only a new process gets a working one."""

    reason = "AcceleratorFailed"
