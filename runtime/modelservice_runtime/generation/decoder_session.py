"""Opens a folder's decoder: its graph is checked, loaded, and held to what it can be served with."""

import mmap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from modelservice_runtime.errors import (
    AccessDeniedError,
    ModelLoadFailedError,
    ModelNotFoundError,
    ModelRejectedError,
)
from modelservice_runtime.generation.adapters import Adapter, open_adapter
from modelservice_runtime.generation.config import CONFIG_NAME, PLACES_INPUT, DecoderConfig
from modelservice_runtime.generation.graph import check_graph
from modelservice_runtime.generation.kv.memory import Device, DeviceMemory, HostMemory, KvMemory, RowShape
from modelservice_runtime.machine.readable import check_readable, describe_denial
from modelservice_runtime.onnx.errors import (
    RUN_ERRORS,
    lacks_memory,
    translate_load_error,
    translate_run_error,
)
from modelservice_runtime.onnx.execution_providers import CPU, CUDA, short_name
from modelservice_runtime.onnx.graph.files import ModelFiles
from modelservice_runtime.onnx.graph.scan import scan_model_file
from modelservice_runtime.onnx.session import create_session
from modelservice_runtime.settings.generation import AdapterSource
from modelservice_runtime.settings.sessions import SessionSettings

_KINDS = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}  # fmt: skip
# Released together with GroupQueryAttention's present inputs; older ones call new graphs invalid.
_OLDEST_VERSION = (1, 26)
_ATTENTION = "GroupQueryAttention"
_RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"


class DecoderSession:
    """A loaded decoder without any memory for rows; `device` is where it runs."""

    def __init__(
        self,
        config: DecoderConfig,
        session: ort.InferenceSession,
        files: ModelFiles,
        settings: SessionSettings,
    ) -> None:
        self.config = config
        self.files = files
        self.session = session
        self.device = _device_of(session, settings)
        self._settings = settings
        self.kinds = {one.name: one.type for one in session.get_inputs()}
        self.logits_kind = numpy_kind(config.logits_name, _outputs(session)[config.logits_name].type)
        self.cache_kind = numpy_kind(config.past()[0], self.kinds[config.past()[0]])
        places = _outputs(session)[config.logits_name].shape[1]
        self.gives_all_places = places != 1
        optional = {one.name: one.type for one in session.get_overridable_initializers()}
        self.takes_places = optional.get(PLACES_INPUT) == "tensor(int64)"

    @property
    def token_bytes(self) -> int:
        """Memory for keys and values of one token."""
        config = self.config
        return 2 * config.layers * config.kv_heads * config.head_size * self.cache_kind.itemsize

    def run(
        self, inputs: Mapping[str, npt.NDArray[np.generic]], names: Sequence[str]
    ) -> list[npt.NDArray[np.generic]]:
        """The named outputs of inputs that hold all of the past themselves. Raises InferenceFailedError."""
        try:
            found: list[npt.NDArray[np.generic]] = self.session.run(names, dict(inputs))
        except RUN_ERRORS as error:
            on_cuda = self.device.is_cuda
            raise translate_run_error(error, terminated=False, on_cuda=on_cuda) from error.with_traceback(
                None
            )
        return found

    def open_adapters(self, sources: Iterable[AdapterSource]) -> dict[str, Adapter]:
        """Adapters by name, read and checked, where the model is. Raises StartupError."""
        device = self.device
        return {source.name: open_adapter(source, self.session).on(device) for source in sources}

    def take_memory(self, slots: int, places: int) -> KvMemory:
        """Memory for as many rows, where the model is. Raises StartupError."""
        config = self.config
        shape = RowShape(config.kv_heads, places, config.head_size, self.cache_kind)
        pieces = len(config.past())
        if not self.device.is_cuda:
            return HostMemory(pieces, slots, shape)
        try:
            return DeviceMemory(pieces, slots, shape, self.device, self._settings)
        except RUN_ERRORS as error:
            if not lacks_memory(error):
                raise translate_load_error(error) from error
            raise ModelRejectedError(
                f"the GPU has no {slots * places * self.token_bytes / 1024**3:.2f} GiB left for the keys and "
                "values of the texts; see what else runs on it, or lower --max-sequences or "
                "--max-context-tokens"
            ) from error


def open_decoder(folder: Path, config: DecoderConfig, settings: SessionSettings) -> DecoderSession:
    """Check and load the folder's graph.

    Raises StartupError subclasses whose sentence names cause and remedy.
    """
    path = folder / config.file
    try:
        check_readable(path)
        scan = scan_model_file(path)
        for external in scan.files.external:
            check_readable(external)
        with scan.files.model.open("rb") as file:
            check_graph(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), config)
    except PermissionError as error:
        raise AccessDeniedError(describe_denial(path)) from error
    except OSError as error:
        raise ModelNotFoundError(
            f"{CONFIG_NAME} names the graph {config.file[:200]!r}, which cannot be read ({error.strerror}); "
            "keep all files of the model in one folder"
        ) from error
    # Every step has sizes of its own, and a captured graph replays one.
    settings = replace(settings, cuda=replace(settings.cuda, graphs=False))
    session = _create(scan.files.model, settings)
    _check_signature(session, config)
    scan.files.check_unchanged()
    opened = DecoderSession(config, session, scan.files, settings)
    if opened.device.is_cuda:
        check_placement(session, CUDA)
    return opened


def _create(model: Path, settings: SessionSettings) -> ort.InferenceSession:
    try:
        session = create_session(model, settings, {_RECORD_PLACEMENT: "1"})
    except ModelLoadFailedError as error:
        version = tuple(int(part) for part in ort.__version__.split(".")[:2])
        if version < _OLDEST_VERSION:
            oldest = ".".join(map(str, _OLDEST_VERSION))
            raise ModelLoadFailedError(
                f"{error.sentence}; this server has ONNX Runtime {ort.__version__}, and graphs of today's "
                f"model builder need {oldest} or newer: upgrade it"
            ) from error
        raise
    return session


def _device_of(session: ort.InferenceSession, settings: SessionSettings) -> Device:
    provider = session.get_providers()[0]
    if provider == CPU:
        return Device()
    if provider == CUDA:
        return Device("cuda", settings.device_id)
    raise ModelRejectedError(
        f"text is generated on CPUs and by CUDA, and this server runs on {short_name(provider)}; serve it "
        "with --execution-provider CUDA or CPU"
    )


def check_placement(session: ort.InferenceSession, provider: str) -> None:
    """Refuse attention that another provider runs: keys and values would not be where they are bound.

    The session must have been made by `open_decoder`. Raises ModelRejectedError.
    """
    for part in session.get_provider_graph_assignment_info():
        if part.ep_name != provider and any(node.op_type == _ATTENTION for node in part.get_nodes()):
            raise ModelRejectedError(
                f"{short_name(provider)} cannot run this graph's {_ATTENTION}, which leaves it to "
                f"{short_name(part.ep_name)}; CUDA takes keys and values of fp16: export it for CUDA (model "
                "builder: -e cuda -p fp16 or int4), or serve it with --execution-provider CPU"
            )


def _check_signature(session: ort.InferenceSession, config: DecoderConfig) -> None:
    """Refuse what would have to be given to the graph, or kept of it, beside ids, mask, keys and values."""
    inputs = {one.name: one for one in session.get_inputs()}
    wanted = {config.ids_name, config.mask_name, *config.past()}
    unknown = sorted(inputs.keys() - wanted - {config.positions_name})
    if unknown:
        raise ModelRejectedError(
            f"the graph asks for {_listed(unknown)} beside ids, mask, positions, keys and values: a state "
            "that is not served; take a plain decoder"
        )
    positions = inputs.get(config.positions_name)
    if positions is not None and len(positions.shape) != 2:
        raise ModelRejectedError(
            f"the graph asks for {config.positions_name} of the shape {positions.shape}, as models of "
            "pictures do, and one number for each token is served; take a model of texts alone"
        )
    missing = sorted(
        (wanted - inputs.keys()) | ({config.logits_name, *config.present()} - _outputs(session).keys())
    )
    if missing:
        raise ModelLoadFailedError(f"{CONFIG_NAME} names {_listed(missing)}, which the graph lacks")
    logits = _outputs(session)[config.logits_name].shape
    if len(logits) != 3 or logits[2] != config.vocabulary:
        raise ModelLoadFailedError(
            f"{CONFIG_NAME}: model.vocab_size is {config.vocabulary}, and the graph's {config.logits_name} "
            f"has the shape {logits}; export the model again"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name[:80] for name in names[:3]) + (" and more" if len(names) > 3 else "")


def _outputs(session: ort.InferenceSession) -> dict[str, ort.NodeArg]:
    return {one.name: one for one in session.get_outputs()}


def numpy_kind(name: str, kind: str) -> np.dtype[np.generic]:
    """The numbers of an input or output by ONNX Runtime's word. Raises ModelRejectedError."""
    found = _KINDS.get(kind)
    if found is None:
        raise ModelRejectedError(
            f"the graph's {name[:80]!r} is a {kind}, which is not served; export it in fp32, fp16 or int4"
        )
    return np.dtype(found)
