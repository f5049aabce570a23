import pytest

from modelservice_runtime.fetch.buckets.identity import Identity, find_aws_identity
from modelservice_runtime.fetch.buckets.proxy import Endpoint
from modelservice_runtime.fetch.buckets.s3 import build_bucket, explain_error
from modelservice_runtime.fetch.credentials import Credentials
from modelservice_runtime.fetch.errors import FetchError, FetchReason

KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}
ROLE = {"AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}
AGENT = {
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/agent-token",
}


def bucket_of(name: str, identity: Identity | None = None, **values: str):
    return build_bucket(name, Credentials(values), identity)


@pytest.mark.parametrize(
    ("name", "values", "endpoint"),
    [
        ("models", {}, "https://models.s3.us-east-1.amazonaws.com"),
        ("models", {"AWS_REGION": "eu-west-1"}, "https://models.s3.eu-west-1.amazonaws.com"),
        ("my.models", {}, "https://s3.us-east-1.amazonaws.com"),
        ("models", {"endpoint": "https://minio.mail.svc:9000"}, "https://minio.mail.svc:9000"),
        ("models", {"AWS_ENDPOINT_URL": "http://10.0.0.9:9000/"}, "http://10.0.0.9:9000/"),
        (
            "models",
            {"AWS_ENDPOINT_URL": "https://store.example", "AWS_S3_ADDRESSING_STYLE": "virtual"},
            "https://models.store.example",
        ),
    ],
)
def test_build_bucket_knows_where_it_is(name, values, endpoint):
    assert str(bucket_of(name, **values).endpoint) == endpoint


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKID"}, FetchReason.CREDENTIALS_MISSING),
        ({"AWS_SECRET_ACCESS_KEY": "x"}, FetchReason.CREDENTIALS_MISSING),
        ({"endpoint": "minio:9000"}, FetchReason.INVALID_URI),
        ({"endpoint": "https://u:p@minio"}, FetchReason.INVALID_URI),
        ({"endpoint": "https://minio/path"}, FetchReason.INVALID_URI),
        ({"endpoint": "https://minio:99999"}, FetchReason.INVALID_URI),
        ({"AWS_REGION": "evil.example/"}, FetchReason.INVALID_URI),
        ({"AWS_S3_ADDRESSING_STYLE": "auto"}, FetchReason.INVALID_URI),
    ],
)
def test_build_bucket_bad_settings_are_refused(values, reason):
    with pytest.raises(FetchError) as caught:
        bucket_of("models", **values)
    assert caught.value.reason is reason


def test_build_bucket_keys_come_first_then_the_identity_then_nobody():
    identity = find_aws_identity({**ROLE, "AWS_REGION": "eu-west-3"})
    by_key, by_role = bucket_of("models", identity, **KEYS), bucket_of("models", identity)
    assert (by_key.signed, by_key.identity) == (True, None)
    assert (by_role.signed, by_role.identity) == (True, identity)
    assert by_role.endpoint.host == "models.s3.eu-west-3.amazonaws.com"
    assert not bucket_of("models").signed


def test_bucket_uri_is_percent_encoded():
    assert bucket_of("models").uri("my m/ü.onnx") == "s3://models/my%20m/%C3%BC.onnx"


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, None),
        ({"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "somebody's"}, None),
        ({"AWS_ROLE_ARN": "arn"}, None),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}, None),
        (ROLE, "arn:aws:iam::1:role/r"),
        (AGENT, "the Pod Identity agent at 169.254.170.23"),
        ({**AGENT, **ROLE}, "arn:aws:iam::1:role/r"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"}, None),
        ({**AGENT, "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://a:b/"}, None),
    ],
)
def test_find_aws_identity_needs_all_its_variables(environment, name):
    identity = find_aws_identity(environment)
    assert (identity and identity.name) == name


def test_find_aws_identity_names_what_must_be_reached():
    agent, role = find_aws_identity(AGENT), find_aws_identity(ROLE)
    assert agent is not None
    assert role is not None
    assert agent.services == {Endpoint("169.254.170.23", 80)}
    assert role.services == frozenset()
    ipv6 = {**AGENT, "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://[fd00:ec2::23]/v1/credentials"}
    found = find_aws_identity(ipv6)
    assert found is not None
    assert found.services == {Endpoint("fd00:ec2::23", 80)}


@pytest.mark.parametrize(
    ("status", "code", "text", "signed", "named"),
    [
        (301, "PermanentRedirect", "<Region>eu-west-1</Region>", True, "region eu-west-1"),
        (400, "AuthorizationHeaderMalformed", "wrong; expecting region 'us-west-2'", True, "us-west-2"),
        (403, "InvalidAccessKeyId", "", True, "AWS_ACCESS_KEY_ID"),
        (404, "NoSuchBucket", "", True, "bucket does not exist"),
        (403, "AccessDenied", "", False, "spec.serviceAccountName"),
        (403, "AccessDenied", "", True, None),
        (404, "NoSuchKey", "", True, None),
        (400, "InvalidRequest", "nothing of regions", True, None),
    ],
)
def test_explain_error_names_the_remedy(status, code, text, signed, named):
    error = explain_error(status, code, text, signed)
    assert (error is None) == (named is None)
    assert named is None or named in error.message
