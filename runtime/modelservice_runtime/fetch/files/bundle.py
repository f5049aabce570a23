"""Stores a model together with the files that it names, the model last: where it is, the rest is too."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from modelservice_runtime.fetch.errors import AbsentError, FetchError, FetchReason, NotBesideError
from modelservice_runtime.fetch.files.destination import PartialFile, StoredFile
from modelservice_runtime.fetch.files.external_data import explain_no_model, find_needs
from modelservice_runtime.fetch.files.transfer import Answer, Expected, Source, Transfer, Wanted
from modelservice_runtime.fetch.log import log
from modelservice_runtime.fetch.names import describe_need, is_model
from modelservice_runtime.models.text_files import FURTHER_NAMES, TOKENIZER_NAME, text_folders

# Why a file that nobody asked for does not come: a model of tensors is served without it.
_DISPENSABLE = (FetchReason.MODEL_NOT_FOUND, FetchReason.ACCESS_DENIED, FetchReason.INVALID_URI)
_NOT_FETCHED = "a file for texts is not fetched: it may not be read, or nothing pins it"


@dataclass(frozen=True)
class Located:
    """A file of a source: where its bytes come from and what is known about them."""

    source: Source
    expected: Expected


Locate: TypeAlias = Callable[[str], Awaitable[Located]]


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


async def store_model(transfer: Transfer, model: Located, name: str, locate: Locate) -> list[StoredFile]:
    """Fetch the model, its external data and its companions, or, where one file is wanted, that alone.

    A model that takes tokens brings the tokenizer that lies beside it, so that it can be asked with texts.

    Args:
        transfer: what is shared by the files of a fetch.
        model: the model itself.
        name: what the source calls it.
        locate: finds a file by its path relative to the model's folder, see `join_path`; raises FetchError.

    Raises:
        FetchError: with the reason.

    """
    if transfer.file is not None:
        expected = replace(model.expected, name=transfer.file, is_model=False)
        return [await transfer.store(model.source, expected)]
    async with AsyncExitStack() as stack:
        staged = await stack.enter_async_context(transfer.stage(model.source, model.expected))
        _refuse_other_file(staged.path, name)
        needs = find_needs(staged.path)
        others = [await locate(path) for path in needs.external_files]
        # They are small: whatever lacks is known before gigabytes of weights are fetched.
        beside = [await _stage(transfer, path, locate, stack) for path in transfer.companions]
        for path in transfer.optional_companions:
            with suppress(NotBesideError):
                beside.append(await _stage(transfer, path, locate, stack))
        if needs.takes_tokens:
            beside += await _stage_text_files(transfer, name, locate, stack)
        stored = [await transfer.store(other.source, other.expected) for other in others]
        return [*stored, *(one.commit() for one in beside), staged.commit()]


async def _stage(
    transfer: Transfer, path: str, locate: Locate, stack: AsyncExitStack
) -> PartialFile | StoredFile:
    located = await locate(path)
    expected = replace(located.expected, name=located.expected.name.removeprefix("../"))
    return await stack.enter_async_context(transfer.stage(located.source, expected))


async def _stage_text_files(
    transfer: Transfer, model: str, locate: Locate, stack: AsyncExitStack
) -> list[PartialFile | StoredFile]:
    """The tokenizer and what else tells how texts are read, where they are there; they lie beside then."""

    async def find(path: str) -> list[PartialFile | StoredFile]:
        try:
            return [await _stage(transfer, path, locate, stack)]
        except FetchError as error:
            if error.reason not in _DISPENSABLE:
                raise
            if not isinstance(error, NotBesideError):
                log(_NOT_FETCHED, {"file": path, "reason": str(error.reason)})
            return []

    for folder in text_folders(model):
        tokenizer = await find(folder + TOKENIZER_NAME)
        if tokenizer:
            return tokenizer + [file for name in FURTHER_NAMES for file in await find(folder + name)]
    return []


def _refuse_other_file(path: Path, name: str) -> None:
    """Refuse what neither is called a model nor is one: nobody would know it in what the server says."""
    why = None if is_model(name) else explain_no_model(path)
    if why is not None:
        raise FetchError(
            FetchReason.MODEL_NOT_FOUND,
            f"there is {name}, and no model: {why}; expected an ONNX file, such as model.onnx, "
            "so check spec.model.storageUri and what is stored there",
        )
