"""One fetch from request to result: chooses the scheme and bounds the whole."""

import asyncio
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelservice_runtime.fetch.age import read_identities
from modelservice_runtime.fetch.buckets import azure, gcs, s3
from modelservice_runtime.fetch.buckets.identity import (
    find_aws_identity,
    find_azure_identity,
    find_google_identity,
)
from modelservice_runtime.fetch.buckets.object_store import Bucket, open_bucket
from modelservice_runtime.fetch.buckets.objects import BucketFetch
from modelservice_runtime.fetch.buckets.proxy import Way
from modelservice_runtime.fetch.credentials import CA_KEY, Credentials, build_ssl_context, read_credentials
from modelservice_runtime.fetch.errors import FetchError, FetchReason, OutOfTimeError
from modelservice_runtime.fetch.files.cache import ModelCache
from modelservice_runtime.fetch.files.destination import Destination, StoredFile
from modelservice_runtime.fetch.files.encrypted import DecryptingTransfer
from modelservice_runtime.fetch.files.local import verify_file
from modelservice_runtime.fetch.files.transfer import Transfer
from modelservice_runtime.fetch.http.addresses import AddressPolicy
from modelservice_runtime.fetch.http.client import GuardedClient
from modelservice_runtime.fetch.http.proxies import read_proxies
from modelservice_runtime.fetch.http.web import fetch_web
from modelservice_runtime.fetch.hub.files import HubFetch, Repository, read_access
from modelservice_runtime.fetch.limits import Budget, TransferLimits
from modelservice_runtime.fetch.names import (
    GENERATION_FILES,
    MODEL_FILE,
    OPTIONAL_GENERATION_FILES,
    PROOF_FILES,
)
from modelservice_runtime.fetch.oci.registry import RegistryAccess, fetch_oci
from modelservice_runtime.fetch.redaction import Redactor
from modelservice_runtime.fetch.uri import (
    FileUri,
    HubUri,
    ModelUri,
    ObjectUri,
    OciUri,
    WebUri,
    invalid_uri,
    parse_uri,
)

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Decryption:
    """How files that are encrypted where they come from are read.

    Attributes:
        keys_directory: files of private keys.
        scratch: a directory for what is encrypted, while it is fetched.

    """

    keys_directory: Path
    scratch: Path


@dataclass(frozen=True)
class FetchRequest:
    """What to fetch, where to, and what is allowed.

    Attributes:
        uri: the model URI: oci, s3, gs, az, hf, https, http with `sha256`; file where `allow_file`.
        destination: the directory that receives the files.
        max_bytes: the most bytes to store, over all files; a `file://` stores none.
        sha256: digest of the ONNX file as it is stored, encrypted or not; 64 hex digits.
        decryption: how the files are decrypted; None where they are not encrypted.
        credentials_directory: files of the credentials; None for anonymous access.
        allow_file: accept `file://`, checked in place and never copied.
        file_root: the directory a `file://` must lie in; None for anywhere.
        addresses: which addresses may be connected to.
        limits: bounds of the transfer.
        environment: where proxies (`HTTPS_PROXY` and the like), the pod's identity, and the Hub's address are
            looked for.
        use_pod_identity: ask the cloud for the pod's identity also where the environment does not name it.
        cache: where files of known digest are kept for other fetches; None for nowhere.
        with_proof: bring the files of the model's proof along, which lie beside it.
        generative: bring what a model that generates text has beside it: sizes, tokenizer, chat template.
        file: the name of the one file to fetch, such as rows for an evaluation; None for the model.
        redactor: learns every secret that is met, so that logs and messages can leave them out.

    """

    uri: str
    destination: Path
    max_bytes: int
    sha256: str | None = None
    decryption: Decryption | None = None
    credentials_directory: Path | None = None
    allow_file: bool = False
    file_root: Path | None = None
    addresses: AddressPolicy = field(default_factory=AddressPolicy)
    limits: TransferLimits = field(default_factory=TransferLimits)
    environment: Mapping[str, str] = field(default_factory=dict)
    use_pod_identity: bool = False
    cache: ModelCache | None = None
    with_proof: bool = False
    generative: bool = False
    file: str | None = None
    redactor: Redactor = field(default_factory=Redactor)


@dataclass(frozen=True)
class FetchResult:
    """What was fetched.

    Attributes:
        model_path: the ONNX file.
        sha256: digest of the ONNX file, decrypted; lower-case hex.
        size_bytes: size of all files together.
        file_count: number of files.
        commit: of the repository that they are from; None where the source has no commits.

    """

    model_path: Path
    sha256: str
    size_bytes: int
    file_count: int
    commit: str | None = None


def fetch_model(request: FetchRequest) -> FetchResult:
    """Fetch a model; blocks until it is there.

    Raises:
        FetchError: with the reason and a sentence without secrets.

    """
    return asyncio.run(fetch_model_async(request))


async def fetch_model_async(request: FetchRequest) -> FetchResult:
    """Fetch a model; see `fetch_model`."""
    limits = request.limits
    try:
        async with asyncio.timeout(limits.total_timeout_seconds):
            return await _fetch(request)
    except TimeoutError as error:
        raise OutOfTimeError(
            FetchReason.DOWNLOAD_FAILED,
            f"not finished after {limits.total_timeout_seconds:.0f} seconds; use a faster or nearer store",
        ) from error
    except FetchError as error:
        clean = request.redactor.clean(error.message)
        if clean == error.message:
            raise
        raise FetchError(error.reason, clean) from None  # the cause may carry the secret


async def _fetch(request: FetchRequest) -> FetchResult:
    uri = parse_uri(request.uri)
    sha256 = _normalize_sha256(request.sha256)
    if isinstance(uri, FileUri):
        # On a thread: a large file on a slow disk must not keep a signal from being seen.
        return await asyncio.to_thread(_verify, uri, sha256, request)
    if isinstance(uri, WebUri):
        request.redactor.add(*uri.url.query.values())
    credentials = read_credentials(request.credentials_directory)
    request.redactor.add(*credentials.secrets)
    with ExitStack() as stack:
        transfer = _open_transfer(request, stack)
        files, commit = await _fetch_remote(uri, sha256, request, credentials, transfer)
    return replace(_summarize(files, request.destination, request.file), commit=commit)


def _open_transfer(request: FetchRequest, stack: ExitStack) -> Transfer:
    destination = stack.enter_context(Destination(request.destination))
    budget, limits = Budget(request.max_bytes), request.limits
    companions = (PROOF_FILES if request.with_proof else ()) + (
        GENERATION_FILES if request.generative else ()
    )
    optional = OPTIONAL_GENERATION_FILES if request.generative else ()
    if request.decryption is None:
        return Transfer(destination, budget, limits, request.cache, request.file, companions, optional)
    identities = read_identities(request.decryption.keys_directory)
    scratch = stack.enter_context(Destination(request.decryption.scratch))
    return DecryptingTransfer(
        scratch,
        budget,
        limits,
        request.cache,
        companions=companions,
        optional_companions=optional,
        plain=destination,
        identities=identities,
    )


async def _fetch_remote(
    uri: ModelUri, sha256: str | None, request: FetchRequest, credentials: Credentials, transfer: Transfer
) -> tuple[list[StoredFile], str | None]:
    """Fetch the files, the model last; return them with their commit, where the source has commits."""
    tls = build_ssl_context(credentials)
    proxies = read_proxies(request.environment)
    request.redactor.add(*proxies.secrets)
    async with GuardedClient(request.addresses, tls, request.limits, proxies) as client:
        match uri:
            case OciUri():
                access = RegistryAccess(client, credentials, request.redactor)
                return await fetch_oci(uri, sha256, access, transfer), None
            case ObjectUri():
                way = Way(tls, proxies, request.limits.connect_timeout_seconds)
                return await _fetch_object(uri, sha256, request, credentials, transfer, way), None
            case HubUri():
                hub = read_access(credentials, request.environment)
                request.redactor.add(hub.token or "")
                return await HubFetch(Repository(client, hub, uri), sha256, transfer).run()
            case WebUri():
                return await fetch_web(uri, sha256, client, credentials, transfer), None
    raise AssertionError(f"no fetcher for {type(uri).__name__}")


async def _fetch_object(
    uri: ObjectUri,
    sha256: str | None,
    request: FetchRequest,
    credentials: Credentials,
    transfer: Transfer,
    way: Way,
) -> list[StoredFile]:
    bucket = _build_bucket(uri, request, credentials)
    authorities = credentials.first(CA_KEY) or ""
    async with open_bucket(bucket, request.addresses, way, authorities, request.limits) as store:
        request.redactor.add(store.proxy.password)
        return await BucketFetch(store, uri, sha256, transfer).run()


def _build_bucket(uri: ObjectUri, request: FetchRequest, credentials: Credentials) -> Bucket:
    match uri.scheme:
        case "gs":
            google = find_google_identity(request.environment, wanted=request.use_pod_identity)
            return gcs.build_bucket(uri.bucket, credentials, google)
        case "az":
            return azure.build_bucket(uri.bucket, credentials, find_azure_identity(request.environment))
    return s3.build_bucket(uri.bucket, credentials, find_aws_identity(request.environment))


def _verify(uri: FileUri, sha256: str | None, request: FetchRequest) -> FetchResult:
    if not request.allow_file:
        raise invalid_uri("file:// is not allowed here; use oci://, s3://, https://, pvc:// or configmap://")
    path, digest = verify_file(uri, sha256, request.file_root)
    return FetchResult(path, digest.sha256, digest.size_bytes, 1)


def _summarize(files: list[StoredFile], directory: Path, file: str | None) -> FetchResult:
    """The model is the last file: every fetcher stores it after the others."""
    model = files[-1]
    assert file or model.name == MODEL_FILE or model.name.endswith(".onnx")
    return FetchResult(
        model_path=directory / model.name,
        sha256=model.digest.sha256,
        size_bytes=sum(file.digest.size_bytes for file in files),
        file_count=len(files),
    )


def _normalize_sha256(text: str | None) -> str | None:
    if text is None:
        return None
    digest = text.lower().removeprefix("sha256:")
    if _SHA256.fullmatch(digest) is None:
        raise invalid_uri("sha256 needs 64 hex digits, as sha256sum prints them")
    return digest
