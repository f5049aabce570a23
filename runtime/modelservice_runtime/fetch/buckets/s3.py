"""S3 and what speaks its protocol: where a bucket is, who asks, and what its error codes mean."""

import re
from collections.abc import Mapping
from typing import Any

from obstore.store import S3Store
from yarl import URL

from modelservice_runtime.fetch.buckets.identity import Identity
from modelservice_runtime.fetch.buckets.object_store import Bucket, parse_endpoint
from modelservice_runtime.fetch.credentials import Credentials
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.uri import invalid_uri

_DEFAULT_REGION = "us-east-1"
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_BUCKET_REGION = re.compile(r"<Region>([a-z0-9-]{1,40})</Region>|region '([a-z0-9-]{1,40})'")
# Amazon answers 403 with the first code, versitygw 404 with the second.
_UNKNOWN_KEY_CODES = ("InvalidAccessKeyId", "XAdminUserNotFound")
_NO_ACCESS = (
    "the bucket denies anonymous access; name a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in "
    "spec.model.credentials.secretName, or a service account with a role in spec.serviceAccountName, and "
    "check the model URI"
)


def build_bucket(name: str, credentials: Credentials, identity: Identity | None) -> Bucket:
    """Where and how to reach the bucket `name`.

    The keys of the Secret come first, then the pod's identity, else requests are not signed. Custom
    endpoints get path-style addresses unless AWS_S3_ADDRESSING_STYLE says `virtual`; AWS itself the bucket
    in the host name, except for names with dots, which no certificate covers.

    Raises:
        FetchError: `CredentialsMissing` for half a key, `InvalidUri` for a bad endpoint or region.

    """
    pair = credentials.pair("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    identity = None if pair else identity
    config = _build_access(pair, credentials.first("AWS_SESSION_TOKEN"), identity)
    region = credentials.first("AWS_REGION", "AWS_DEFAULT_REGION") or config.get("region") or _DEFAULT_REGION
    if _REGION.fullmatch(region) is None:
        raise invalid_uri("AWS_REGION in the credentials Secret is not a region, as in us-east-1")
    endpoint = credentials.first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "endpoint")
    style = credentials.first("AWS_S3_ADDRESSING_STYLE") or ("path" if endpoint or "." in name else "virtual")
    if style not in ("path", "virtual"):
        raise invalid_uri("AWS_S3_ADDRESSING_STYLE in the credentials Secret must be path or virtual")
    url = (
        parse_endpoint(endpoint, "the S3 endpoint") if endpoint else URL(f"https://s3.{region}.amazonaws.com")
    )
    if style == "virtual":
        url = url.with_host(f"{name}.{url.host}")

    def open_store(endpoint: str, options: Mapping[str, Any]) -> S3Store:
        settings: Any = {
            **config,
            "region": region,
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,  # which the environment may set too, and which comes first
            "virtual_hosted_style_request": style == "virtual",
        }
        client_options: Any = options
        return S3Store(
            name,
            config=settings,
            client_options=client_options,
            retry_config={"max_retries": 0},  # ours are logged, and wait for longer
        )

    return Bucket("s3", name, url, open_store, explain_error, identity, bool(pair or identity))


def _build_access(
    pair: tuple[str, str] | None, session_token: str | None, identity: Identity | None
) -> dict[str, Any]:
    if pair is not None:
        keys: dict[str, Any] = {"access_key_id": pair[0], "secret_access_key": pair[1]}
        return {**keys, "session_token": session_token} if session_token else keys
    return {**identity.settings} if identity else {"skip_signature": True}


def explain_error(status: int, code: str, text: str, signed: bool) -> FetchError | None:
    """The failure that an answer of the store means; None where its status says enough.

    Args:
        status: of HTTP.
        code: S3's own.
        text: everything that was answered.
        signed: whether the request was signed.

    """
    region = _BUCKET_REGION.search(text)
    if status in (301, 307, 400) and region:
        return FetchError(
            FetchReason.DOWNLOAD_FAILED,
            f"the bucket is in region {region[1] or region[2]}; set AWS_REGION to it in the "
            "credentials Secret",
        )
    if code == "NoSuchBucket":
        return FetchError(
            FetchReason.MODEL_NOT_FOUND,
            "the bucket does not exist; check spec.model.storageUri, and AWS_ENDPOINT_URL in the credentials "
            "Secret where the store is not Amazon's",
        )
    if code in _UNKNOWN_KEY_CODES:
        return FetchError(
            FetchReason.ACCESS_DENIED,
            f"the store does not know the access key ({code}); "
            "correct AWS_ACCESS_KEY_ID in the credentials Secret",
        )
    if status == 403 and not signed:
        return FetchError(FetchReason.CREDENTIALS_MISSING, _NO_ACCESS)
    return None
