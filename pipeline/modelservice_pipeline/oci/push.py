"""Pushes an artifact: what a registry has already is not sent again."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from modelservice_pipeline.oci.access import Access
from modelservice_pipeline.oci.content import CHUNK_BYTES, Blob, Content
from modelservice_pipeline.oci.reference import Reference
from modelservice_pipeline.oci.registry import PUSH, Repository
from modelservice_pipeline.report.progress import track


@dataclass(frozen=True)
class Pushed:
    """What a push did."""

    reference: Reference
    """By digest."""
    sent_bytes: int
    present_bytes: int
    """Of blobs that the registry had."""


def push_content(
    content: Content, reference: Reference, access: Access, mount_from: str | None = None
) -> Pushed:
    """Push an artifact under the reference's tag, or under its digest where it has none.

    `mount_from` names a repository of the same registry that may hold blobs of it. Raises PipelineError.
    """
    repository = Repository(reference, access, PUSH)
    sent, present = 0, 0
    for blob in content.blobs.values():
        if repository.has_blob(blob.digest) or (mount_from and repository.mount_blob(blob, mount_from)):
            present += blob.size_bytes
            continue
        repository.write_blob(blob, lambda blob=blob: _tracked(blob))  # type: ignore[misc]
        sent += blob.size_bytes
    for document in content.manifests:
        if document is not content.root:
            repository.write_document(document, document.digest)
    repository.write_document(content.root, reference.tag or content.root.digest)
    return Pushed(reference.pinned(content.root.digest), sent, present)


def _tracked(blob: Blob) -> Iterator[bytes]:
    return track(blob.read(), f"Pushing {blob.name}", math.ceil(blob.size_bytes / CHUNK_BYTES))
