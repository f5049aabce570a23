"""The files of several layers laid over each other, as container images are. Pure."""

from dataclasses import dataclass, field

from modelservice_runtime.fetch.files.destination import PartialFile
from modelservice_runtime.fetch.files.unpacking import Selection, Unpacked
from modelservice_runtime.fetch.names import is_model


@dataclass
class LayerTree:
    """What is known after some layers.

    Attributes:
        layers: path of every file to the number of the layer that has its newest form.
        files: the files that were written.
        selection: what is written of further layers: models, and what the models so far name.
        size_bytes: of everything in the layers.

    """

    layers: dict[str, int] = field(default_factory=dict)
    files: dict[str, PartialFile] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)
    size_bytes: int = 0

    def add(self, number: int, found: Unpacked) -> None:
        """Lay the layer `number` over those before."""
        for path in [path for path in self.layers if _is_removed(path, found.removed)]:
            del self.layers[path]
            self.files.pop(path, None)
        for path in found.paths:
            self.layers[path] = number
            self.files.pop(path, None)
        self.files.update(found.files)
        self.size_bytes += found.size_bytes

    @property
    def models(self) -> set[str]:
        """The models of the topmost layer that has any: a base image may bring samples of its own."""
        models = {path for path in self.files if is_model(path)}
        top = max((self.layers[path] for path in models), default=0)
        return {path for path in models if self.layers[path] == top}


def _is_removed(path: str, removed: set[str]) -> bool:
    """Whether a file, or a folder above it, was removed."""
    if path in removed:
        return True
    folders = [path[:at] for at, letter in enumerate(path) if letter == "/"]
    return "/" in removed or any(folder in removed or f"{folder}/" in removed for folder in folders)
