"""Google Cloud Storage: where a bucket is, who asks, and what its error codes mean."""

import json
from collections.abc import Mapping
from typing import Any

from obstore.store import GCSStore
from yarl import URL

from modelservice_runtime.fetch.buckets.identity import Identity
from modelservice_runtime.fetch.buckets.object_store import Bucket, parse_endpoint
from modelservice_runtime.fetch.credentials import GCS_ACCOUNT_KEYS, Credentials, credentials_missing
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.uri import invalid_uri

_ENDPOINT = URL("https://storage.googleapis.com")
# What a key signs for itself (https://google.aip.dev/auth/4111); nothing else of the file is used.
_KEY_FIELDS = ("private_key", "private_key_id", "client_email")
_NO_ACCESS = (
    "the bucket denies anonymous access; name a Secret with a service account's key.json in "
    "spec.model.credentials.secretName, or a service account with access in spec.serviceAccountName, and "
    "check the model URI"
)


def build_bucket(name: str, credentials: Credentials, identity: Identity | None) -> Bucket:
    """Where and how to reach the bucket `name`.

    The key of the Secret comes first, then the pod's identity, else requests are not signed.

    Raises:
        FetchError: `CredentialsMissing` for a key that is none, `InvalidUri` for a bad endpoint.

    """
    key = credentials.first(*GCS_ACCOUNT_KEYS)
    identity = None if key else identity
    custom = credentials.first("GOOGLE_BASE_URL")
    if custom and identity:
        raise invalid_uri(
            "GOOGLE_BASE_URL in the credentials Secret would get a token of the pod's identity; remove it, "
            "or put a key.json into the Secret"
        )
    config: dict[str, Any] = {} if identity else {"skip_signature": True}
    if key:
        config = {"service_account_key": _read_key(key)}

    def open_store(endpoint: str, options: Mapping[str, Any]) -> GCSStore:
        settings: Any = {**config, "base_url": endpoint}
        client_options: Any = options
        return GCSStore(name, config=settings, client_options=client_options, retry_config={"max_retries": 0})

    endpoint = parse_endpoint(custom, "GOOGLE_BASE_URL") if custom else _ENDPOINT
    return Bucket("gs", name, endpoint, open_store, explain_error, identity, bool(key or identity))


def explain_error(status: int, code: str, text: str, signed: bool) -> FetchError | None:
    """The failure that an answer of the store means; None where its status says enough."""
    if code == "NoSuchBucket" or "bucket does not exist" in text:
        return FetchError(
            FetchReason.MODEL_NOT_FOUND, "the bucket does not exist; check spec.model.storageUri"
        )
    if status in (401, 403) and not signed:
        return FetchError(FetchReason.CREDENTIALS_MISSING, _NO_ACCESS)
    return None


def _read_key(text: str) -> str:
    """The parts of a service account's key that sign; an address in it is not followed."""
    try:
        key = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise credentials_missing("the key.json in the credentials Secret is not JSON") from error
    if not isinstance(key, dict) or not all(isinstance(key.get(field), str) for field in _KEY_FIELDS):
        raise credentials_missing(
            "the key.json in the credentials Secret is not the key of a service account "
            f"(it needs {', '.join(_KEY_FIELDS)}); on GKE name a service account in spec.serviceAccountName"
        )
    return json.dumps({field: key[field] for field in _KEY_FIELDS})
