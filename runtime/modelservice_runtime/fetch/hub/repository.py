"""What a repository of the Hub holds at one commit, and what the Hub's refusals mean. Pure.

The documents are those of the Hub's API (https://huggingface.co/docs/hub/api); the codes of errors are those
that its own client reads (https://huggingface.co/docs/huggingface_hub/package_reference/utilities).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelservice_runtime.fetch.errors import AbsentError, FetchError, FetchReason
from modelservice_runtime.fetch.names import choose_file, choose_model, clean_path
from modelservice_runtime.fetch.uri import HubUri

_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_RESET = re.compile(r";\s*t=(\d{1,6})(?:;|,|\s|$)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TOKEN = "HF_TOKEN in the Secret of spec.model.credentials.secretName"  # noqa: S105 - a name


@dataclass(frozen=True)
class HubFile:
    """What is known about a file: its size, and its digest where it is a large one (Git LFS, Xet)."""

    size_bytes: int | None
    sha256: str | None


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit: its files by their paths."""

    commit: str
    files: Mapping[str, HubFile]


def parse_snapshot(body: bytes, repository: str) -> Snapshot:
    """Read what the API says of a repository at a revision.

    Raises:
        FetchError: `DownloadFailed` where it says something else.

    """
    try:
        document = json.loads(body)
        commit, siblings = document["sha"], document["siblings"]
        files = {clean_path(one["rfilename"]): _parse_file(one) for one in siblings}
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise _no_hub(repository) from error
    if not isinstance(commit, str) or _COMMIT.fullmatch(commit) is None:
        raise _no_hub(repository)
    return Snapshot(commit, {path: file for path, file in files.items() if path is not None})


def _parse_file(sibling: Mapping[str, Any]) -> HubFile:
    large = sibling.get("lfs") or {}
    size, sha256 = sibling.get("size"), large.get("sha256")
    known = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    digest = sha256 if isinstance(sha256, str) and _SHA256.fullmatch(sha256) else None
    return HubFile(size if known else None, digest)


def find_model(snapshot: Snapshot, uri: HubUri, file: str | None = None) -> str:
    """Return the path of the model, or of the file: what the URI names, else what is in the folder.

    Raises:
        FetchError: `ModelNotFound`.

    """
    if uri.path in snapshot.files:
        return uri.path
    folder = f"{uri.path}/" if uri.path else ""
    below = [path.removeprefix(folder) for path in snapshot.files if path.startswith(folder)]
    if not below:
        raise FetchError(
            FetchReason.MODEL_NOT_FOUND,
            f"{uri.repository} has no {uri.path or 'files'} at {uri.revision}; check spec.model.storageUri",
        )
    if file is not None:
        return folder + choose_file(below, file, "check what is stored there")
    named = f"hf://{uri.repository}@{uri.revision}/{folder}"
    return folder + choose_model(below, f"name one in spec.model.storageUri, as in {named}{{path}}")


def explain_refusal(status: int, code: str, uri: HubUri, *, authenticated: bool) -> FetchError | None:
    """The failure that an answer of the Hub means; None where its status says enough.

    Args:
        status: of HTTP.
        code: the header `X-Error-Code`.
        uri: what is fetched.
        authenticated: whether a token was sent.

    """
    denied = FetchReason.ACCESS_DENIED if authenticated else FetchReason.CREDENTIALS_MISSING
    if code == "GatedRepo":
        remedy = f"with its account, and put a token of that account as {_TOKEN}"
        if authenticated:
            remedy = "with the account of the token, and wait until its owners have let it in"
        return FetchError(
            denied, f"{uri.repository} is gated: accept its conditions on its page of the Hub {remedy}"
        )
    if code == "RevisionNotFound":
        return FetchError(
            FetchReason.MODEL_NOT_FOUND,
            f"{uri.repository} has no revision {uri.revision}; name one of its branches, tags or commits",
        )
    if code == "EntryNotFound":
        return AbsentError(
            FetchReason.MODEL_NOT_FOUND,
            f"{uri.repository} has no such file at {uri.revision}; check spec.model.storageUri",
        )
    if status == 401 and authenticated and code != "RepoNotFound":
        return FetchError(
            denied, f"the Hub does not accept the token (HTTP 401); put one that is valid as {_TOKEN}"
        )
    if code == "RepoNotFound" or status == 401:
        return _no_repository(uri, authenticated=authenticated)
    return None


def parse_reset_seconds(header: str) -> float | None:
    """Seconds until the Hub takes requests again, of its header `RateLimit`; None where it does not say.

    https://huggingface.co/docs/hub/rate-limits: `"api";r=0;t=42` is no request left for 42 seconds.
    """
    match = _RESET.search(header)
    return float(match[1]) if match else None


def _no_repository(uri: HubUri, *, authenticated: bool) -> FetchError:
    """The Hub does not tell a repository that is private from one that is not there."""
    if authenticated:
        return FetchError(
            FetchReason.MODEL_NOT_FOUND,
            f"there is no repository {uri.repository}, or the token may not read it; check "
            "spec.model.storageUri and what the token allows",
        )
    return FetchError(
        FetchReason.CREDENTIALS_MISSING,
        f"there is no repository {uri.repository}, or it is private; check spec.model.storageUri, or put a "
        f"token that may read it as {_TOKEN}",
    )


def _no_hub(repository: str) -> FetchError:
    return FetchError(
        FetchReason.DOWNLOAD_FAILED,
        f"the answer about {repository} is not that of a Hub; check HF_ENDPOINT",
    )
