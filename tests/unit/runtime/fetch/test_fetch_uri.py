import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.uri import FileUri, HubUri, ObjectUri, OciUri, WebUri, parse_uri

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://host/m.onnx", WebUri(URL("https://host/m.onnx"))),
        ("HTTPS://host:8443/a/m.onnx", WebUri(URL("https://host:8443/a/m.onnx"))),
        ("https://[2001:db8::1]:443/m.onnx", WebUri(URL("https://[2001:db8::1]:443/m.onnx", encoded=True))),
        ("http://10.0.0.1/m.onnx", WebUri(URL("http://10.0.0.1/m.onnx"))),
        ("oci://r.example/models/spam:3", OciUri("r.example", "models/spam", "3", None)),
        ("oci://10.0.0.1:5000/models/spam:1", OciUri("10.0.0.1:5000", "models/spam", "1", None)),
        (f"oci://r.example/spam@{DIGEST}", OciUri("r.example", "spam", None, DIGEST)),
        (f"oci://r.example/spam:v1@{DIGEST}", OciUri("r.example", "spam", "v1", DIGEST)),
        ("s3://models/spam/3.onnx", ObjectUri("s3", "models", "spam/3.onnx")),
        ("s3://models/spam/", ObjectUri("s3", "models", "spam/")),
        ("s3://models/my%20m/%C3%BC.onnx", ObjectUri("s3", "models", "my m/ü.onnx")),
        ("s3://models/a%2520b+%(1)", ObjectUri("s3", "models", "a%20b+%(1)")),
        ("gs://my_models/spam/", ObjectUri("gs", "my_models", "spam/")),
        ("az://models/spam/", ObjectUri("az", "models", "spam/")),
        ("hf://org/spam", HubUri("org/spam", "main", "")),
        ("hf://Org_1/a.b-c@v1.0/", HubUri("Org_1/a.b-c", "v1.0", "")),
        ("hf://org/spam/onnx/a%20%C3%BC@2.onnx", HubUri("org/spam", "main", "onnx/a ü@2.onnx")),
        ("hf://org/spam@refs/pr/7/onnx/", HubUri("org/spam", "refs/pr/7", "onnx")),
        ("file:///mnt/models/m.onnx", FileUri("/mnt/models/m.onnx")),
    ],
)
def test_parse_uri_good_form_gives_its_parts(text, expected):
    assert parse_uri(text) == expected


def test_parse_uri_keeps_the_signature_of_a_presigned_url_as_written():
    text = "https://host/m.onnx?X-Amz-Signature=a%2Fb%3D&X-Amz-Date=1"
    parsed = parse_uri(text)
    assert isinstance(parsed, WebUri)
    assert str(parsed.url) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "SCHEME://"),
        ("model.onnx", "SCHEME://"),
        ("gopher://host/m", "not supported"),
        ("ftp://org/model", "oci, s3, gs, az, hf, https"),
        ("hf://org", "hf://ORGANIZATION/REPOSITORY"),
        ("hf://org/", "hf://ORGANIZATION/REPOSITORY"),
        ("hf://-org/model", "hf://ORGANIZATION/REPOSITORY"),
        ("hf://org/model@", "hf://ORGANIZATION/REPOSITORY"),
        ("hf://org/model:v1", "hf://ORGANIZATION/REPOSITORY"),
        ("hf://org/model?revision=v1", "hf://ORGANIZATION/REPOSITORY"),
        ("hf://org/model@a%2fb", "encoded"),
        ("hf://org/model/%C3", "UTF-8"),
        ("hf://org/model/a%0Ab", "cannot be printed"),
        ("hf://org/model/a//b", "two slashes"),
        ("hf://user@org/model", "credentials.secretName"),
        ("az://my_models/m.onnx", "bucket name"),
        ("abfss://models/m.onnx", "oci, s3, gs, az, hf, https"),
        ("gs://Bucket/m.onnx", "bucket name"),
        ("pvc://claim/m.onnx", "mounted"),
        ("https://user:pass@host/m.onnx", "Secret"),
        ("https://good.example@evil.example/m.onnx", "Secret"),
        ("oci://user@r.example/spam:1", "Secret"),
        ("https://host/../etc/passwd", "'..'"),
        ("https://host/a/%2e%2e/b", "encoded"),
        ("https://host/a/%2E%2e/b", "encoded"),
        ("https://host/a%00b", "encoded"),
        ("https://host/a%2Fb", "encoded"),
        ("https://host/a\x00b", "printable"),
        ("https://host/a b", "spaces"),
        ("https://host\\@evil/m", "backslashes"),
        ("https://höst/m.onnx", "ASCII"),
        ("https://host/m.onnx#part", "fragment"),
        ("https://host/m.onnx?x=1#part", "fragment"),
        ("https://host:99999/m.onnx", "port"),
        ("https://host:0/m.onnx", "port"),
        ("https:///m.onnx", "host name"),
        ("https://2130706433/m.onnx", "disguised"),
        ("https://0x7f.1/m.onnx", "disguised"),
        ("https://127.1/m.onnx", "disguised"),
        ("https://0177.0.0.1/m.onnx", "disguised"),
        ("https://127.0.0.1./m.onnx", "disguised"),
        ("oci://2130706433:5000/spam:1", "disguised"),
        ("https://host", "path of a file"),
        ("https://host/", "path of a file"),
        ("oci://r.example/spam", "a tag or a digest"),
        ("oci://r.example/Spam:1", "oci://registry/repository:tag"),
        ("oci://r.example/spam@sha256:12", "oci://registry/repository:tag"),
        ("oci://r.example/spam@sha512:12", "oci://registry/repository:tag"),
        ("oci://r.example", "oci://registry/repository:tag"),
        ("s3://Bucket/m.onnx", "bucket name"),
        ("s3://bucket", "s3://bucket/key"),
        ("s3://bucket/../other/m.onnx", "'..'"),
        ("s3://bucket/", "s3://bucket/key"),
        ("s3://bucket/a?versionId=1", "%3F"),
        ("s3://bucket//m.onnx", "empty part"),
        ("s3://bucket/a//m.onnx", "empty part"),
        ("s3://bucket/a%0Ab", "printed"),
        ("s3://bucket/a%FFb", "UTF-8"),
        ("s3://bucket/a%2F..%2Fb", "encoded"),
        ("file://host/m.onnx", "absolute path"),
        ("file:///mnt/../etc/passwd", "'..'"),
        ("https://host/" + "a" * 2100, "longer"),
    ],
)
def test_parse_uri_bad_form_is_refused_with_a_hint(text, hint):
    with pytest.raises(FetchError) as caught:
        parse_uri(text)
    assert caught.value.reason is FetchReason.INVALID_URI
    assert hint in caught.value.message


def test_parse_uri_password_in_the_uri_is_not_repeated():
    with pytest.raises(FetchError) as caught:
        parse_uri("https://user:hunter22@host/m.onnx")
    assert "hunter22" not in caught.value.message


@given(st.text(max_size=80), st.sampled_from(["", "https://", "oci://", "s3://", "file://", "https://h/"]))
def test_parse_uri_any_text_parses_or_is_refused(text, prefix):
    parsed, reason = None, None
    try:
        parsed = parse_uri(prefix + text)
    except FetchError as error:
        reason = error.reason
    assert (reason is FetchReason.INVALID_URI) == (parsed is None)
    if isinstance(parsed, WebUri):
        assert parsed.url.host
        assert not parsed.url.user
