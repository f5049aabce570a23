"""Stores a model together with the files that it names, the model last: where it is, the rest is too."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from modelservice_runtime.fetch.errors import AbsentError, FetchError, FetchReason, NotBesideError
from modelservice_runtime.fetch.files.destination import PartialFile, StoredFile
from modelservice_runtime.fetch.files.external_data import explain_no_model, find_external_files
from modelservice_runtime.fetch.files.transfer import Answer, Expected, Source, Transfer, Wanted
from modelservice_runtime.fetch.names import describe_need, is_model


@dataclass(frozen=True)
class Located:
    """A file of a source: where its bytes come from and what is known about them."""

    source: Source
    expected: Expected


@dataclass(frozen=True)
class NamedSource:
    """A file that a model names as its external data.

    Attributes:
        source: where it has to be.
        model: what the model is called in messages.
        data: what the file is called in messages; it may be a companion of the model too.

    """

    source: Source
    model: str
    data: str

    async def open(self, wanted: Wanted) -> Answer:
        """Ask for the file."""
        try:
            return await self.source.open(wanted)
        except AbsentError as error:
            raise NotBesideError(
                FetchReason.MODEL_NOT_FOUND,
                f"{describe_need(self.model, self.data)}, which is not there; "
                "store both, side by side as they were exported",
            ) from error


async def store_model(
    transfer: Transfer, model: Located, name: str, locate: Callable[[str], Awaitable[Located]]
) -> list[StoredFile]:
    """Fetch the model, its external data and its companions, or, where one file is wanted, that alone.

    Args:
        transfer: what is shared by the files of a fetch.
        model: the model itself.
        name: what the source calls it.
        locate: finds the file that the model names by a path relative to its own folder; raises FetchError.

    Raises:
        FetchError: with the reason.

    """
    if transfer.file is not None:
        expected = replace(model.expected, name=transfer.file, is_model=False)
        return [await transfer.store(model.source, expected)]
    async with AsyncExitStack() as stack:
        staged = await stack.enter_async_context(transfer.stage(model.source, model.expected))
        _refuse_other_file(staged.path, name)
        others = [await locate(path) for path in find_external_files(staged.path)]
        # They are small: whatever lacks is known before gigabytes of weights are fetched.
        beside = [await _stage(transfer, path, locate, stack) for path in transfer.companions]
        for path in transfer.optional_companions:
            with suppress(NotBesideError):
                beside.append(await _stage(transfer, path, locate, stack))
        stored = [await transfer.store(other.source, other.expected) for other in others]
        return [*stored, *(one.commit() for one in beside), staged.commit()]


async def _stage(
    transfer: Transfer, path: str, locate: Callable[[str], Awaitable[Located]], stack: AsyncExitStack
) -> PartialFile | StoredFile:
    located = await locate(path)
    return await stack.enter_async_context(transfer.stage(located.source, located.expected))


def _refuse_other_file(path: Path, name: str) -> None:
    """Refuse what neither is called a model nor is one: nobody would know it in what the server says."""
    why = None if is_model(name) else explain_no_model(path)
    if why is not None:
        raise FetchError(
            FetchReason.MODEL_NOT_FOUND,
            f"there is {name}, and no model: {why}; expected an ONNX file, such as model.onnx, "
            "so check spec.model.storageUri and what is stored there",
        )
