import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.fetch.credentials import Credentials
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.s3 import ListedObject, build_bucket, list_query, parse_listing

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}


def listing(*entries: tuple[str, str], extra: str = "") -> bytes:
    contents = "".join(f"<Contents><Key>{key}</Key><Size>{size}</Size></Contents>" for key, size in entries)
    return f'<ListBucketResult xmlns="{NAMESPACE}">{contents}{extra}</ListBucketResult>'.encode()


@pytest.mark.parametrize(
    ("name", "values", "url"),
    [
        ("models", {}, "https://models.s3.us-east-1.amazonaws.com/a/b.onnx"),
        ("models", {"AWS_REGION": "eu-west-1"}, "https://models.s3.eu-west-1.amazonaws.com/a/b.onnx"),
        ("my.models", {}, "https://s3.us-east-1.amazonaws.com/my.models/a/b.onnx"),
        (
            "models",
            {"endpoint": "https://minio.mail.svc:9000"},
            "https://minio.mail.svc:9000/models/a/b.onnx",
        ),
        ("models", {"AWS_ENDPOINT_URL": "http://10.0.0.9:9000/"}, "http://10.0.0.9:9000/models/a/b.onnx"),
        (
            "models",
            {"AWS_ENDPOINT_URL": "https://store.example", "AWS_S3_ADDRESSING_STYLE": "virtual"},
            "https://models.store.example/a/b.onnx",
        ),
    ],
)
def test_build_bucket_addresses_the_object(name, values, url):
    assert str(build_bucket(name, Credentials(values)).build_url("a/b.onnx")) == url


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
        build_bucket("models", Credentials(values))
    assert caught.value.reason is reason


def test_sign_signs_host_and_session_token_but_not_anonymous_requests():
    bucket = build_bucket("models", Credentials({**KEYS, "AWS_SESSION_TOKEN": "session"}))
    headers = bucket.sign(bucket.build_url("a b+c.onnx"))
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert (
        "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token" in headers["Authorization"]
    )
    assert headers["X-Amz-Security-Token"] == "session"
    anonymous = build_bucket("models", Credentials())
    assert anonymous.sign(anonymous.build_url("a.onnx")) == {}


def test_list_query_escapes_the_prefix():
    assert list_query("a b/ü&/") == "?delimiter=%2F&list-type=2&max-keys=101&prefix=a%20b%2F%C3%BC%26%2F"


def test_parse_listing_leaves_out_the_folder_itself_and_deeper_ones():
    body = listing(
        ("m/", "0"), ("m/a.onnx", "3"), extra="<CommonPrefixes><Prefix>m/x/</Prefix></CommonPrefixes>"
    )
    assert parse_listing(body, "m/") == [ListedObject("m/a.onnx", "a.onnx", 3)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (listing(), FetchReason.MODEL_NOT_FOUND),
        (listing(("m/", "0")), FetchReason.MODEL_NOT_FOUND),
        (listing(("m/..", "1")), FetchReason.MODEL_NOT_FOUND),
        (listing(("other/a", "1")), FetchReason.DOWNLOAD_FAILED),
        (listing(("m/a", "x")), FetchReason.DOWNLOAD_FAILED),
        (b"", FetchReason.DOWNLOAD_FAILED),
        (b"<html>", FetchReason.DOWNLOAD_FAILED),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', FetchReason.DOWNLOAD_FAILED),
        (listing(*((f"m/{n}.onnx", "1") for n in range(101))), FetchReason.ARCHIVE_REFUSED),
    ],
)
def test_parse_listing_unusable_answer_is_refused(body, reason):
    with pytest.raises(FetchError) as caught:
        parse_listing(body, "m/")
    assert caught.value.reason is reason


@given(st.binary(max_size=200))
def test_parse_listing_any_bytes_are_refused_with_a_reason(body):
    with pytest.raises(FetchError):
        parse_listing(body, "m/")
