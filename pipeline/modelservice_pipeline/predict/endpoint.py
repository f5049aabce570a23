"""Asks a served model: finds it behind a URL, cuts rows into requests, sends some at the same time."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.predict.connections import TooSlowError
from modelservice_pipeline.predict.constants import Given, take_constants
from modelservice_pipeline.predict.errors import ModelAwayError, RefusedByModelError
from modelservice_pipeline.predict.predictor import Array, Tensors
from modelservice_pipeline.predict.requests import Plan, Sizes, Work
from modelservice_pipeline.predict.rows import (
    bytes_of_row,
    count_rows,
    cut_rows,
    fill_rows,
    fixed_rows,
    join_outputs,
    prepare_rows,
)
from modelservice_pipeline.predict.server import Access, RefusedError, Server
from modelservice_pipeline.predict.wire import (
    BINARY_EXTENSION,
    JSON_LENGTH,
    WireError,
    build_request,
    parse_answer,
    parse_ports,
)

_MODELS = "/v2/models/"
_TOO_LARGE = frozenset({413, 504, 507})
"""Statuses that fewer rows mend: the body, the time, the memory."""
_TOO_LARGE_WORDS = ("batch", "too large", "too many", "exceed")
"""Others say it with 400, as Triton does of its `max_batch_size`."""


class EndpointPredictor:
    """A model behind a URL: `http(s)://HOST[:PORT][/PREFIX][/v2/models/NAME[/versions/V]]`.

    Without the model's name the server must have one model alone. `given` are values of inputs that rows do
    not bring; they are none of `inputs`. Raises PipelineError.
    """

    def __init__(self, url: str, access: Access | None = None, given: Given | None = None) -> None:
        self._access = access or Access()
        base, path = _split(url)
        self._server = Server(base, self._access)
        try:
            self._path = path or self._find_only_model()
            metadata = self._server.get(self._path)
            self._binary = self._knows_binary()
        except RefusedError as error:
            raise RefusedByModelError(self._say_refused(error), error.status) from None
        except TooSlowError:
            raise ModelAwayError(f"{base} did not answer within {self._access.seconds:g} s") from None
        try:
            inputs, self.outputs = parse_ports(metadata, "inputs"), parse_ports(metadata, "outputs")
        except WireError as error:
            raise PipelineError(f"{base}{self._path} speaks another protocol: {error}") from None
        self.inputs, self.constants = take_constants(inputs, given or Given())
        most = self._access.rows_at_once or (1 if self.constants.hold_one_row else None)
        self._sizes = Sizes(most, fixed_rows(self.inputs))

    @property
    def infer_url(self) -> str:
        """Where inference is asked."""
        return f"{self._server.url}{self._path}/infer"

    def predict(self, rows: Tensors) -> dict[str, Array]:
        """Return the outputs for all rows, in their order. Raises PipelineError."""
        arrays = prepare_rows(rows, self.inputs)
        plan = Plan(count_rows(arrays), bytes_of_row(arrays), sum(a[:1].size for a in arrays.values()))
        work = Work(plan, self._sizes, self._access.clock)
        work.share(lambda start, stop: self._ask(arrays, start, stop), self._access.concurrency)
        return join_outputs(work.results(), f"{self._server.url}{self._path}")

    def close(self) -> None:
        """Close the connections to the server."""
        self._server.close()

    def _ask(self, rows: Tensors, start: int, stop: int) -> dict[str, Array] | None:
        """Return the outputs of some rows, None where they are too many at once."""
        part, fixed = cut_rows(rows, start, stop), fixed_rows(self.inputs)
        asked = part if fixed is None else fill_rows(part, fixed)
        message = build_request({**asked, **self.constants.tensors}, binary=self._binary)
        try:
            answer = self._server.ask("POST", self._path + "/infer", message)
            outputs = parse_answer(answer.body, answer.headers.get(JSON_LENGTH))
        except TooSlowError:
            raise ModelAwayError(self._say_slow(stop - start)) from None
        except RefusedError as error:
            if stop - start > 1 and fixed is None and _is_too_large(error):
                return None
            raise RefusedByModelError(self._say_refused(error), error.status) from None
        except WireError as error:
            raise PipelineError(f"{self._server.url} speaks another protocol: {error}") from None
        if fixed is None:
            return outputs
        return {name: array[: stop - start] for name, array in outputs.items() if array.shape[:1] == (fixed,)}

    def _knows_binary(self) -> bool:
        try:
            return BINARY_EXTENSION in self._server.get("/v2").get("extensions", [])
        except RefusedError:  # a route that leads to the model's paths alone
            return False

    def _find_only_model(self) -> str:
        index: list[dict[str, Any]] = self._server.post("/v2/repository/index", {"ready": True})
        names = sorted({str(entry["name"]) for entry in index})
        if len(names) == 1:
            return _MODELS + quote(names[0], safe="")
        shown = ", ".join(names[:10]) or "none"
        raise PipelineError(
            f"name the model in the URL, as in {self._server.url}/v2/models/NAME: the server has {shown}"
        )

    def _say_refused(self, error: RefusedError) -> str:
        hint = {
            HTTPStatus.UNAUTHORIZED: "; give a key (--api-key-file), a token (--token-file) or a certificate "
            "(--client-cert)",
            HTTPStatus.FORBIDDEN: "; ask its owner for the right",
            HTTPStatus.NOT_FOUND: "; check the model's name and version in the URL",
        }.get(HTTPStatus(error.status) if error.status in set(HTTPStatus) else HTTPStatus.OK, "")
        return error.sentence + hint

    def _say_slow(self, rows: int) -> str:
        return (
            f"{self._server.url} did not answer {rows} rows within {self._access.seconds:g} s: wait longer "
            "(--timeout), or ask fewer rows at once (--rows-per-request)"
        )


def _split(url: str) -> tuple[str, str]:
    """Return a URL's server, with a prefix, and the path of the model; nothing where it names none."""
    try:
        parts = urlsplit(url)
        port_is_one = parts.port is None or parts.port > 0
    except ValueError as error:
        raise PipelineError(f"the URL {url!r} is none: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_one:
        raise PipelineError(f"the URL {url!r} is none of a server: write http(s)://HOST[:PORT]")
    if parts.query or parts.fragment or parts.username is not None:
        raise PipelineError(
            f"the URL of {parts.hostname!r} has a user, a query or a fragment: give host and path alone, and "
            "keys by their flags"
        )
    prefix, separator, model = parts.path.partition(_MODELS)
    base = f"{parts.scheme}://{parts.netloc}{prefix.rstrip('/').removesuffix('/v2')}"
    words = [quote(unquote(word), safe="") for word in model.strip("/").split("/")] if model else []
    words = words[:-1] if words[-1:] == ["infer"] else words
    is_whole = len(words) == 1 or (len(words) == 3 and words[1] == "versions")
    if separator and not is_whole:
        raise PipelineError(
            f"the URL {url!r} does not end in a model: write .../v2/models/NAME or "
            ".../v2/models/NAME/versions/V"
        )
    return base, _MODELS + "/".join(words) if words else ""


def _is_too_large(error: RefusedError) -> bool:
    if error.status in _TOO_LARGE:
        return True
    words = error.sentence.lower()
    return error.status == HTTPStatus.BAD_REQUEST and any(word in words for word in _TOO_LARGE_WORDS)
