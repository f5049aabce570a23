"""Fetches a model from a bucket: one object, or the model below a prefix, and the objects that it names."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from modelservice_runtime.fetch.buckets.object_store import MAX_LISTED, ObjectSource, ObjectStore
from modelservice_runtime.fetch.errors import AbsentError, FetchError, FetchReason, TransientError
from modelservice_runtime.fetch.files.bundle import Located, NamedSource, store_model
from modelservice_runtime.fetch.files.destination import StoredFile
from modelservice_runtime.fetch.files.transfer import Expected, Transfer, Wanted
from modelservice_runtime.fetch.log import log
from modelservice_runtime.fetch.names import MODEL_FILE, choose_model, find_models, join_path, stored_name
from modelservice_runtime.fetch.retry import retried
from modelservice_runtime.fetch.uri import ObjectUri, invalid_uri

_MAX_SHOWN = 10


@dataclass(frozen=True)
class BucketFetch:
    """One fetch from an opened bucket.

    Attributes:
        store: the bucket.
        uri: the model URI.
        sha256: digest of the model, where it is known.
        transfer: takes the files.

    """

    store: ObjectStore
    uri: ObjectUri
    sha256: str | None
    transfer: Transfer

    async def run(self) -> list[StoredFile]:
        """Fetch the model, the last of the files; an object alone is called `model.onnx`.

        Raises:
            FetchError: with the reason.

        """
        if not self.store.bucket.encrypted and self.sha256 is None:
            raise self._unpinned("add spec.model.sha256")
        if self.uri.is_prefix and self.transfer.file is not None:
            return await self._fetch_model(
                self.uri.key + self.transfer.file, Expected(MODEL_FILE, self.sha256)
            )
        if self.uri.is_prefix:
            return await self._fetch_below(self.uri.key, await self._list(self.uri.key))
        try:
            return await self._fetch_model(self.uri.key, Expected(MODEL_FILE, self.sha256))
        except AbsentError:
            prefix = f"{self.uri.key}/"
            if self.transfer.file is not None:
                return await self._fetch_model(prefix + self.transfer.file, Expected(MODEL_FILE, self.sha256))
            found = await self._list_if_allowed(prefix)
            if not found:
                raise
            log("there is no such object, but objects below it", {"uri": self.store.bucket.uri(prefix)})
            return await self._fetch_below(prefix, found)

    async def _list(self, prefix: str) -> Mapping[str, int]:
        return await retried(lambda: self.store.list_objects(prefix), self.transfer.limits)

    async def _list_if_allowed(self, prefix: str) -> Mapping[str, int]:
        """What is below a prefix that the URI does not ask for; readers of single objects may not know."""
        try:
            return await self._list(prefix)
        except FetchError as error:
            log("the bucket cannot be listed", {"problem": error.message}, logging.DEBUG)
            return {}

    async def _fetch_below(self, prefix: str, found: Mapping[str, int]) -> list[StoredFile]:
        uri = self.store.bucket.uri(prefix)
        if not found:
            raise await self._explain_nothing(prefix)
        if len(found) >= MAX_LISTED and not any("/" not in path for path in find_models(found)):
            raise FetchError(
                FetchReason.MODEL_NOT_FOUND,
                f"there are {MAX_LISTED} and more objects below {uri}; name the model's own object or prefix",
            )
        path = choose_model(found, f"name one in spec.model.storageUri, as in {uri}{{path}}")
        stored = await self._fetch_model(
            f"{prefix}{path}", Expected(stored_name(path), self.sha256, found[path])
        )
        taken = {join_path(path, file.name) for file in stored} | {path}
        others = sorted(found.keys() - taken)
        if others:
            log("other objects are left out", {"count": len(others), "names": others[:_MAX_SHOWN]})
        return stored

    async def _explain_nothing(self, prefix: str) -> FetchError:
        bucket, key = self.store.bucket, prefix.rstrip("/")
        message = f"no objects below {bucket.uri(prefix)}; check spec.model.storageUri"
        try:
            answer = await ObjectSource(self.store, key).open(Wanted(end_bytes=1))
            answer.close()
            message = f"{bucket.uri(key)} is an object, not a prefix; leave out the slash at the end"
        except (FetchError, TransientError) as error:
            log("there is no object of that name either", {"problem": error.message}, logging.DEBUG)
        return FetchError(FetchReason.MODEL_NOT_FOUND, message)

    async def _fetch_model(self, key: str, expected: Expected) -> list[StoredFile]:
        async def locate(location: str) -> Located:
            if not self.store.bucket.encrypted:
                raise self._unpinned("a model with external data needs an endpoint that speaks https")
            data = join_path(key, location)
            bucket = self.store.bucket
            source = NamedSource(ObjectSource(self.store, data), bucket.uri(key), bucket.uri(data))
            return Located(source, Expected(location, is_model=False))

        located = Located(ObjectSource(self.store, key), expected)
        return await store_model(self.transfer, located, self.store.bucket.uri(key), locate)

    def _unpinned(self, remedy: str) -> FetchError:
        endpoint = self.store.bucket.endpoint.host
        return invalid_uri(
            f"the endpoint {endpoint} speaks plain http, where anyone on the way can change the model; "
            f"{remedy}, or use an https:// endpoint"
        )
