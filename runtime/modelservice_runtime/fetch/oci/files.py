"""Turns the layers of an artifact into files, judged by their bytes.

A layer is a plain file, which the manifest names, or an archive of files: a folder that `oras` pushed, a
ModelPack, a layer of a container image. Only the model and the files that it names are taken.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import Enum

from modelservice_runtime.fetch.errors import FetchError, FetchReason, NotBesideError
from modelservice_runtime.fetch.files.bundle import Located, store_model
from modelservice_runtime.fetch.files.destination import StoredFile
from modelservice_runtime.fetch.files.external_data import find_needs
from modelservice_runtime.fetch.files.layer_tree import LayerTree
from modelservice_runtime.fetch.files.tar_stream import is_gzip, is_tar, unzip_head
from modelservice_runtime.fetch.files.transfer import Expected, Source, Transfer, check_digest, read_head
from modelservice_runtime.fetch.files.unpacking import Selection, Unpacker
from modelservice_runtime.fetch.log import log
from modelservice_runtime.fetch.names import (
    MODEL_FILE,
    choose_file,
    choose_model,
    describe_need,
    find_text_files,
    is_model,
    join_path,
    stored_name,
)
from modelservice_runtime.fetch.oci.manifest import Layer, refused
from modelservice_runtime.fetch.retry import retried

_HEAD_BYTES = 4096  # enough for a tar header, compressed or not
_ZSTD = b"\x28\xb5\x2f\xfd"
_MODELCAR_FOLDER = "models/"
_SEVERAL = "push one model, or call it model.onnx"


class LayerKind(Enum):
    """What the bytes of a layer are."""

    FILE = "a file"
    ARCHIVE = "an archive of files"
    ZSTD = "compressed with zstd"


@dataclass(frozen=True)
class Layers:
    """The layers of one artifact, the lowest first, and how they are read.

    Attributes:
        layers: as the manifest lists them.
        open: the source of a layer's bytes.
        transfer: takes the files.
        sha256: digest of the model, where it is known.
        unpinned: the failure of several files that nothing pins; None where the manifest can be trusted.

    """

    layers: Sequence[Layer]
    open: Callable[[Layer], Source]
    transfer: Transfer
    sha256: str | None
    unpinned: FetchError | None

    async def fetch(self) -> list[StoredFile]:
        """Fetch the model and the files that it names, the model last.

        Raises:
            FetchError: with the reason.

        """
        if self.transfer.file is not None:
            return [await self._fetch_file(self.transfer.file)]
        model = await self._find_plain_model()
        if model is None:
            return await self._fetch_from_archives()
        check_digest(self.sha256, model.digest if self.sha256 else "", "the model file of the artifact")
        path = model.path or MODEL_FILE
        target = MODEL_FILE if len(self.layers) == 1 else stored_name(path)

        async def locate(location: str) -> Located:
            self._check_pinned()
            wanted = join_path(path, location)
            layer = next((layer for layer in self.layers if layer.path == wanted), None)
            if layer is None:
                raise missing_data(path, wanted)
            expected = Expected(location, layer.digest, layer.size_bytes, is_model=False)
            return Located(self.open(layer), expected)

        located = Located(self.open(model), Expected(target, model.digest, model.size_bytes))
        name = model.path or f"a layer without a name (sha256:{model.digest[:12]})"
        stored = await store_model(self.transfer, located, name, locate)
        if len(self.layers) > len(stored):
            log("other files of the artifact are left out", {"count": len(self.layers) - len(stored)})
        return stored

    async def _fetch_file(self, file: str) -> StoredFile:
        """Fetch one file, which is a layer of its own, or the only layer."""
        named = {layer.path: layer for layer in self.layers if layer.path}
        only = self.layers[0] if len(self.layers) == 1 and not named else None
        layer = only or named[choose_file(named, file, "push it as a file of its own, as oras does")]
        check_digest(self.sha256, layer.digest if self.sha256 else "", file)
        return await self.transfer.store(
            self.open(layer), Expected(file, layer.digest, layer.size_bytes, is_model=False)
        )

    async def _find_plain_model(self) -> Layer | None:
        """The layer that is the model itself; None where the model is in an archive."""
        named = {layer.path: layer for layer in self.layers if layer.path and is_model(layer.path)}
        if named:
            candidate = named[choose_model(named, _SEVERAL)]
        elif len(self.layers) == 1:
            candidate = self.layers[0]
        else:
            return None
        return candidate if await self._kind(candidate) is LayerKind.FILE else None

    async def _kind(self, layer: Layer) -> LayerKind:
        source, limits = self.open(layer), self.transfer.limits
        head = await retried(lambda: read_head(source, _HEAD_BYTES), limits)
        return classify(head)

    async def _fetch_from_archives(self) -> list[StoredFile]:
        if not self.transfer.reads_archives:
            raise refused("the model lies in an archive, where it is not decrypted")
        with ExitStack() as stack:
            tree = LayerTree()
            files: set[str] = set()
            compressed = 0
            for number, layer in enumerate(self.layers):
                kind = await self._kind(layer)
                compressed += kind is LayerKind.ZSTD
                files |= {layer.path} if layer.path and kind is LayerKind.FILE else set()
                if kind is LayerKind.ARCHIVE:
                    async with self._unpack(layer, tree, stack) as unpacker:
                        tree.add(number, unpacker.finish())
            if compressed and not tree.models:
                raise refused(
                    f"{compressed} layers are {LayerKind.ZSTD.value}, which is not read here; push them "
                    "with gzip (buildah push --compression-format gzip)"
                )
            # Where there is none, all that is there is told.
            path = choose_model(_of_modelcar(tree.models) or files | tree.layers.keys(), _SEVERAL)
            model = tree.files[path]
            check_digest(self.sha256, model.digest.sha256, path)
            needs = find_needs(model.path)
            named = (*needs.external_files, *self.transfer.companions)
            others = {location: join_path(path, location) for location in named}
            found = {location: join_path(path, location) for location in self.transfer.optional_companions}
            others |= {location: beside for location, beside in found.items() if beside in tree.layers}
            if needs.takes_tokens and self.unpinned is None:
                others |= find_text_files(path, tree.layers)
            await self._unpack_missing(path, set(others.values()), tree, stack)
            return self._commit(tree, path, others)

    @asynccontextmanager
    async def _unpack(self, layer: Layer, tree: LayerTree, stack: ExitStack) -> AsyncIterator[Unpacker]:
        """Read an archive; what it wrote lives as long as `stack`."""
        transfer = self.transfer
        name = layer.path or f"sha256:{layer.digest[:12]}"
        unpacker = Unpacker(transfer.destination, transfer.budget, tree.size_bytes, tree.selection, name)
        stack.enter_context(unpacker)
        expected = Expected(name, layer.digest, layer.size_bytes, is_model=False)
        await transfer.receive(self.open(layer), expected, unpacker)
        yield unpacker

    async def _unpack_missing(self, model: str, wanted: set[str], tree: LayerTree, stack: ExitStack) -> None:
        """Read those layers again whose files were passed by before the model that names them."""
        if wanted:
            self._check_pinned()
        for path in sorted(wanted - tree.layers.keys()):
            raise missing_data(model, path)
        for number in sorted({tree.layers[path] for path in wanted - tree.files.keys()}):
            again = LayerTree(selection=Selection(wanted, models=False))
            async with self._unpack(self.layers[number], again, stack) as unpacker:
                found = unpacker.finish().files
            tree.files.update({path: found[path] for path in found if tree.layers[path] == number})

    def _commit(self, tree: LayerTree, path: str, others: Mapping[str, str]) -> list[StoredFile]:
        names = {tree.files[other]: location for location, other in others.items()}
        names[tree.files[path]] = stored_name(path)
        stored = []
        for partial, name in names.items():
            partial.name = name
            self.transfer.budget.take(partial.size_bytes)
            stored.append(partial.commit())
        return stored

    def _check_pinned(self) -> None:
        if self.unpinned is not None:
            raise self.unpinned


def _of_modelcar(models: set[str]) -> set[str]:
    """Those where KServe's images have them, if any are there, else all."""
    return {path for path in models if path.startswith(_MODELCAR_FOLDER)} or models


def classify(head: bytes) -> LayerKind:
    """Tell the kind of a layer by its first bytes."""
    if head.startswith(_ZSTD):
        return LayerKind.ZSTD
    if is_tar(unzip_head(head) if is_gzip(head) else head):
        return LayerKind.ARCHIVE
    return LayerKind.FILE


def missing_data(model: str, path: str) -> NotBesideError:
    """The failure of a file that is not beside the model."""
    return NotBesideError(
        FetchReason.MODEL_NOT_FOUND,
        f"{describe_need(model, path)}, which is not in the artifact; push both, under these paths",
    )
