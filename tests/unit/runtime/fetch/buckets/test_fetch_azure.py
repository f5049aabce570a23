import pytest

from modelservice_runtime.fetch.buckets.azure import build_bucket, explain_error
from modelservice_runtime.fetch.buckets.identity import Identity, find_azure_identity
from modelservice_runtime.fetch.credentials import Credentials
from modelservice_runtime.fetch.errors import FetchError, FetchReason

ACCOUNT = {"AZURE_STORAGE_ACCOUNT": "spam"}
POD = {"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t", "AZURE_FEDERATED_TOKEN_FILE": "/token"}
PRINCIPAL = {"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t", "AZURE_CLIENT_SECRET": "s"}


def bucket_of(identity: Identity | None = None, **values: str):
    return build_bucket("models", Credentials(values), identity)


@pytest.mark.parametrize(
    ("values", "endpoint", "signed"),
    [
        (ACCOUNT, "https://spam.blob.core.windows.net", False),
        ({**ACCOUNT, "AZURE_STORAGE_KEY": "a2V5"}, "https://spam.blob.core.windows.net", True),
        ({**ACCOUNT, "AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=x"}, "https://spam.blob.core.windows.net", True),
        ({**ACCOUNT, **PRINCIPAL}, "https://spam.blob.core.windows.net", True),
        (
            {**ACCOUNT, "AZURE_STORAGE_KEY": "a2V5", "AZURE_STORAGE_ENDPOINT": "http://10.0.0.9:10000/spam"},
            "http://10.0.0.9:10000/spam",
            True,
        ),
    ],
)
def test_build_bucket_knows_where_it_is_and_who_asks(values, endpoint, signed):
    bucket = bucket_of(**values)
    assert (str(bucket.endpoint), bucket.signed) == (endpoint, signed)


def test_build_bucket_secret_comes_before_the_identity():
    identity = find_azure_identity(POD)
    assert bucket_of(identity, **ACCOUNT).identity == identity
    assert bucket_of(identity, **ACCOUNT, AZURE_STORAGE_KEY="a2V5").identity is None


@pytest.mark.parametrize(
    ("values", "environment", "reason", "named"),
    [
        ({}, {}, FetchReason.CREDENTIALS_MISSING, "AZURE_STORAGE_ACCOUNT"),
        ({"AZURE_STORAGE_ACCOUNT": "a.evil"}, {}, FetchReason.INVALID_URI, "AZURE_STORAGE_ACCOUNT"),
        (
            {**ACCOUNT, "AZURE_CLIENT_SECRET": "s", "AZURE_CLIENT_ID": "c"},
            {},
            FetchReason.CREDENTIALS_MISSING,
            "lacks AZURE_TENANT_ID",
        ),
        (
            {**ACCOUNT, "AZURE_STORAGE_ENDPOINT": "spam"},
            {},
            FetchReason.INVALID_URI,
            "AZURE_STORAGE_ENDPOINT",
        ),
        # What is sent as it is goes to nobody else, and nowhere in the clear.
        (
            {**ACCOUNT, "AZURE_STORAGE_ENDPOINT": "https://store.example"},
            POD,
            FetchReason.INVALID_URI,
            "AZURE_STORAGE_ENDPOINT",
        ),
        (
            {**ACCOUNT, "AZURE_STORAGE_SAS_TOKEN": "sig=x", "AZURE_STORAGE_ENDPOINT": "http://store.example"},
            {},
            FetchReason.INVALID_URI,
            "AZURE_STORAGE_ENDPOINT",
        ),
    ],
)
def test_build_bucket_bad_settings_are_refused(values, environment, reason, named):
    with pytest.raises(FetchError) as caught:
        bucket_of(find_azure_identity(environment), **values)
    assert caught.value.reason is reason
    assert named in caught.value.message


@pytest.mark.parametrize("missing", list(POD))
def test_find_azure_identity_needs_all_its_variables(missing):
    assert find_azure_identity({name: value for name, value in POD.items() if name != missing}) is None
    assert find_azure_identity(POD) == Identity(
        "the client c", {"client_id": "c", "tenant_id": "t", "federated_token_file": "/token"}
    )


@pytest.mark.parametrize(
    ("status", "code", "signed", "reason"),
    [
        (404, "ContainerNotFound", True, FetchReason.MODEL_NOT_FOUND),
        (409, "PublicAccessNotPermitted", False, FetchReason.CREDENTIALS_MISSING),
        (403, "AuthorizationFailure", False, FetchReason.CREDENTIALS_MISSING),
        (403, "AuthorizationFailure", True, None),
        (404, "BlobNotFound", True, None),
    ],
)
def test_explain_error_names_the_remedy(status, code, signed, reason):
    error = explain_error(status, code, "", signed)
    assert (error and error.reason) == reason
