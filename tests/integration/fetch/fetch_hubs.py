"""A small Hub on loopback: repositories of models as the Hub serves them, large files from another server.

What it answers follows the Hub's API (https://huggingface.co/docs/hub/api) and what its own client
(`huggingface_hub`) reads of an answer; that client downloads from it in a test.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web
from tests.integration.fetch.fetch_servers import WebServer

_LARGE_BYTES = 1000
"""From this size on a file is kept elsewhere; the Hub's own limit is 10 MB."""


@dataclass
class HubRepository:
    """One repository: the files of each commit, and what its branches and tags stand for."""

    commits: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    readers: frozenset[str] | None = None
    """Tokens that may read it; None for everybody."""
    gated: bool = False

    def commit(self, files: Mapping[str, bytes], reference: str = "main") -> str:
        name = hashlib.sha1(repr((sorted(files.items()), len(self.commits))).encode()).hexdigest()
        self.commits[name] = dict(files)
        self.references[reference] = name
        return name

    def resolve(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.references.get(revision)


@dataclass
class Hub:
    """The Hub itself on `server`; `storage` has the large files."""

    server: WebServer
    storage: WebServer
    repositories: dict[str, HubRepository] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    tokens: frozenset[str] = frozenset({"hf_reader", "hf_other"})

    def __post_init__(self) -> None:
        self.server.fallback = self.answer

    @property
    def endpoint(self) -> str:
        return self.server.url("")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/api/models/") if self._is_api(request) else request.path[1:]
        owner, name, *rest_of_path = path.split("/", 3)
        rest = rest_of_path[1] if rest_of_path else "main"
        repository = self.repositories.get(f"{owner}/{name}")
        if f"{owner}/{name}" in self.renamed:
            other = request.raw_path.replace(f"/{owner}/{name}/", f"/{self.renamed[f'{owner}/{name}']}/")
            return web.Response(status=307, headers={"Location": other})
        refusal = self._refuse(request, repository)
        if refusal is not None or repository is None:
            return refusal or _error(404, "RepoNotFound")
        if self._is_api(request):
            return self._describe(request, repository, f"{owner}/{name}", rest)
        revision, _, file = rest.partition("/")
        return await self._resolve(request, repository, revision, file)

    def _is_api(self, request: web.Request) -> bool:
        return request.path.startswith("/api/models/")

    def _refuse(self, request: web.Request, repository: HubRepository | None) -> web.Response | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            return _error(401, "", "Invalid credentials in Authorization header")
        if repository is None:
            return _error(404 if token else 401, "RepoNotFound", "Repository not found")
        if repository.readers is None or token in repository.readers:
            return None
        if not repository.gated:
            return _error(404 if token else 401, "RepoNotFound", "Repository not found")
        if self._is_api(request):  # what it holds is public
            return None
        return _error(403 if token else 401, "GatedRepo", "Access to model is restricted.")

    def _describe(
        self, request: web.Request, repository: HubRepository, name: str, rest: str
    ) -> web.StreamResponse:
        commit = repository.resolve(rest)
        if commit is None:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {rest}")
        siblings = [
            {"rfilename": path, **(_describe_blob(data) if request.query.get("blobs") else {})}
            for path, data in repository.commits[commit].items()
        ]
        document = {"id": name, "modelId": name, "sha": commit, "private": False, "tags": [], "downloads": 0}
        return web.json_response({**document, "gated": repository.gated and "manual", "siblings": siblings})

    async def _resolve(
        self, request: web.Request, repository: HubRepository, revision: str, path: str
    ) -> web.StreamResponse:
        commit = repository.resolve(revision)
        if commit is None:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        data = repository.commits[commit].get(path)
        if data is None:
            return _error(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        blob = _describe_blob(data)
        if "lfs" not in blob:
            return ranged(request, data, {**headers, "ETag": f'"{blob["blobId"]}"'})
        digest = hashlib.sha256(data).hexdigest()
        url = self._store(digest, data)
        linked = {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{digest}"'}
        return web.Response(status=302, headers={**headers, **linked, "Location": url})

    def _store(self, digest: str, data: bytes) -> str:
        async def answer(request: web.Request) -> web.StreamResponse:
            # A store of objects refuses a request that is signed in two ways.
            if "Authorization" in request.headers or "X-Amz-Signature" not in request.query:
                return web.Response(status=400)
            return ranged(request, data, {"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

        path = f"/repos/{digest[:2]}/{digest}"
        self.storage.handlers.setdefault(path, answer)
        return self.storage.url(f"{path}?X-Amz-Expires=3600&X-Amz-Signature=secret-signature")


def ranged(request: web.Request, data: bytes, headers: Mapping[str, str]) -> web.Response:
    """An answer with the bytes that are asked for (RFC 9110, 14), if they are still of the same file."""
    wanted = request.http_range
    changed = request.headers.get("If-Range", headers.get("ETag")) != headers.get("ETag")
    if wanted.start is None or changed:
        return web.Response(body=data, headers=headers)
    stop = min(wanted.stop or len(data), len(data))
    if wanted.start >= len(data):
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
    sent = {"Content-Range": f"bytes {wanted.start}-{stop - 1}/{len(data)}"}
    return web.Response(status=206, body=data[wanted.start : stop], headers={**headers, **sent})


def _describe_blob(data: bytes) -> dict[str, object]:
    blob = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
    described: dict[str, object] = {"blobId": blob, "size": len(data)}
    if len(data) < _LARGE_BYTES:
        return described
    lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return {**described, "lfs": lfs}


def _error(status: int, code: str, message: str = "") -> web.Response:
    headers = {"X-Error-Code": code, "X-Error-Message": message}
    sent = {name: value for name, value in headers.items() if value}
    return web.json_response({"error": message}, status=status, headers=sent)
