"""One repository of a registry: reads and writes documents and blobs.

OCI distribution specification 1.1: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from urllib.parse import quote, urljoin, urlsplit

import urllib3

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.access import Access
from modelservice_pipeline.oci.authorization import Authorizer
from modelservice_pipeline.oci.connection import (
    Answer,
    Body,
    Connection,
    TransientError,
    describe_failure,
    retried,
)
from modelservice_pipeline.oci.content import (
    CHUNK_BYTES,
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_DOCUMENT_BYTES,
    Blob,
    Content,
    Document,
    load_content,
)
from modelservice_pipeline.oci.reference import Reference

_ACCEPT = {"Accept": ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))}
_BROKEN_READS = 5
PULL, PUSH = "pull", "pull,push"


class Repository:
    """A repository and the way to it. Every method may raise PipelineError."""

    def __init__(self, reference: Reference, access: Access, actions: str = PULL) -> None:
        self.reference = reference
        self._chunk_bytes = access.chunk_bytes
        self._connection = Connection(reference, access)
        self._authorizer = Authorizer(self._connection, reference, actions)

    def read_content(self) -> Content:
        """Return what the reference leads to."""
        return load_content(self.read_document(self.reference.wanted), self.read_document, self.open_blob)

    def read_document(self, reference: str) -> Document:
        """Return a manifest or index by tag or digest; its digest is checked."""
        answer = self._ask("GET", f"manifests/{reference}", _ACCEPT)
        self._expect(answer, f"{self.reference.host}/{self.reference.repository}, {reference}", HTTPStatus.OK)
        try:
            body = answer.read(MAX_DOCUMENT_BYTES + 1)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise PipelineError(
                f"{self.reference.host} broke off the manifest {reference}: {error}"
            ) from None
        finally:
            answer.close()
        if len(body) > MAX_DOCUMENT_BYTES:
            raise PipelineError(f"the manifest {reference} has more than {MAX_DOCUMENT_BYTES} bytes")
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        document = Document(media_type, body)
        if reference.startswith("sha256:") and document.digest != reference:
            raise PipelineError(f"the registry answered {reference} with a document of {document.digest}")
        return document

    def open_blob(self, digest: str, _size_bytes: int = 0) -> Iterator[bytes]:
        """Yield a blob. A connection that breaks is taken up where it broke."""
        received, failures = 0, 0
        while True:
            answer = self._ask_from(digest, received)
            skipped = received if answer.status == HTTPStatus.OK else 0
            try:
                for chunk in answer.stream(CHUNK_BYTES, decode_content=False):
                    fresh, skipped = chunk[skipped:], max(0, skipped - len(chunk))
                    received += len(fresh)
                    yield fresh
                answer.drain_conn()
                return
            except (urllib3.exceptions.HTTPError, OSError) as error:
                failures += 1
                answer.close()
                if failures >= _BROKEN_READS:
                    raise PipelineError(f"{self.reference.host} broke off {digest[:19]}: {error}") from None

    def _ask_from(self, digest: str, received: int) -> Answer:
        headers = {"Range": f"bytes={received}-"} if received else {}
        answer = self._ask("GET", f"blobs/{digest}", headers, redirects=True)
        self._expect(answer, f"blob {digest[:19]}", HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)
        return answer

    def has_document(self, digest: str) -> bool:
        """Return whether a manifest is there."""
        return self._exists(f"manifests/{digest}", _ACCEPT)

    def has_blob(self, digest: str) -> bool:
        """Return whether a blob is there."""
        return self._exists(f"blobs/{digest}", {})

    def write_document(self, document: Document, reference: str) -> None:
        """Store a manifest or index under a tag or its digest."""
        headers = {"Content-Type": document.media_type, "Content-Length": str(len(document.body))}
        answer = self._ask("PUT", f"manifests/{reference}", headers, lambda: iter((document.body,)))
        self._expect(answer, f"{self.reference.repository}:{reference}", HTTPStatus.CREATED)
        answer.drain_conn()
        stored = answer.headers.get("Docker-Content-Digest", document.digest)
        if stored != document.digest:
            raise PipelineError(f"{self.reference.host} stored {stored} instead of {document.digest}")

    def mount_blob(self, blob: Blob, source: str) -> bool:
        """Take a blob from another repository of the registry; returns whether it could."""
        self._authorizer.add_source(source)
        answer = self._ask("POST", f"blobs/uploads/?mount={quote(blob.digest)}&from={quote(source, safe='')}")
        answer.drain_conn()
        return answer.status == HTTPStatus.CREATED

    def write_blob(self, blob: Blob, body: Body) -> None:
        """Store a blob; `body` gives its bytes, anew at each try."""
        retried(lambda: self._upload(blob, body))

    def _upload(self, blob: Blob, body: Body) -> None:
        answer = self._ask("POST", "blobs/uploads/", {"Content-Length": "0"})
        self._expect(answer, f"an upload into {self.reference.repository}", HTTPStatus.ACCEPTED)
        answer.drain_conn()
        location = self._location(answer)
        if self._chunk_bytes and blob.size_bytes > self._chunk_bytes:
            minimum = answer.headers.get("OCI-Chunk-Min-Length", "0")
            wanted = max(self._chunk_bytes, int(minimum) if minimum.isdigit() else 0)
            location, body = self._send_chunks(location, body(), wanted), lambda: iter(())
            size_bytes = 0
        else:
            size_bytes = blob.size_bytes
        separator = "&" if urlsplit(location).query else "?"
        url = f"{location}{separator}digest={quote(blob.digest)}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
        answer = self._send("PUT", url, headers, body)
        if answer.status == HTTPStatus.NOT_FOUND:
            answer.drain_conn()
            raise TransientError(f"{self.reference.host} has forgotten an upload of {blob.name}")
        self._expect(answer, blob.name, HTTPStatus.CREATED)
        answer.drain_conn()

    def _send_chunks(self, location: str, chunks: Iterator[bytes], chunk_bytes: int) -> str:
        start = 0
        for piece in _regroup(chunks, chunk_bytes):
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(len(piece)),
                "Content-Range": f"{start}-{start + len(piece) - 1}",
            }
            answer = self._send("PATCH", location, headers, lambda piece=piece: iter((piece,)))  # type: ignore[misc]
            self._expect(answer, "a part of an upload", HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT)
            answer.drain_conn()
            start += len(piece)
            location = self._location(answer)
        return location

    def _location(self, answer: Answer) -> str:
        """Where an upload goes on: always at this registry, whatever it calls itself behind a proxy."""
        given = answer.headers.get("Location", "")
        if not given:
            raise PipelineError(f"{self.reference.host} takes an upload and does not say where")
        parts = urlsplit(urljoin(self._connection.origin, given))
        return f"{self._connection.origin}{parts.path}{'?' if parts.query else ''}{parts.query}"

    def _exists(self, path: str, headers: Mapping[str, str]) -> bool:
        answer = self._ask("HEAD", path, headers)
        if answer.status == HTTPStatus.NOT_FOUND:
            answer.drain_conn()
            return False
        self._expect(answer, path, HTTPStatus.OK, HTTPStatus.TEMPORARY_REDIRECT)
        answer.drain_conn()
        return True

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        *,
        redirects: bool = False,
    ) -> Answer:
        """Ask for a path of the repository, as often as it helps."""
        url = f"{self._connection.origin}/v2/{self.reference.repository}/{path}"
        return retried(lambda: self._send(method, url, headers or {}, body, redirects=redirects))

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None, *, redirects: bool = False
    ) -> Answer:
        """Ask once, and once more where the registry asks who is there."""
        answer = self._send_as_known(method, url, headers, body, redirects)
        challenge = answer.headers.get("WWW-Authenticate")
        if answer.status == HTTPStatus.UNAUTHORIZED and challenge:
            answer.drain_conn()
            self._authorizer.answer(challenge)
            answer = self._send_as_known(method, url, headers, body, redirects)
        return answer

    def _send_as_known(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None, redirects: bool
    ) -> Answer:
        known = {**headers, **self._authorizer.headers}
        return self._connection.send(method, url, known, body, redirects=redirects)

    def _expect(self, answer: Answer, what: str, *statuses: HTTPStatus) -> None:
        if answer.status in statuses:
            return
        status, said = answer.status, describe_failure(answer)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise PipelineError(f"{self._authorizer.no_login()} ({said})")
        if status == HTTPStatus.NOT_FOUND:
            raise PipelineError(f"{self.reference.host} has no {what}: check the reference ({said})")
        hint = "; try --chunk-size" if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else ""
        raise PipelineError(f"{self.reference.host} refuses {what}: {said}{hint}")


def _regroup(chunks: Iterator[bytes], size_bytes: int) -> Iterator[bytes]:
    """Yield the same bytes in pieces of a size, the last one shorter."""
    piece = bytearray()
    for chunk in chunks:
        piece += chunk
        while len(piece) >= size_bytes:
            yield bytes(piece[:size_bytes])
            del piece[:size_bytes]
    if piece:
        yield bytes(piece)
