import pytest

from modelservice_runtime.fetch.credentials import Credentials, build_ssl_context, read_credentials
from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.redaction import Redactor, redact_url


def test_read_credentials_no_directory_is_anonymous():
    assert read_credentials(None) == Credentials()


def test_read_credentials_reads_known_keys_only(tmp_path):
    (tmp_path / "username").write_text("anna\n")
    (tmp_path / "password").write_text("s3cret\n")
    (tmp_path / "LD_PRELOAD").write_text("/evil.so")
    credentials = read_credentials(tmp_path)
    assert credentials.values == {"username": "anna", "password": "s3cret"}
    assert credentials.secrets == ["s3cret"]


def test_read_credentials_follows_the_links_of_a_mounted_secret(tmp_path):
    (tmp_path / "..2024").mkdir()
    (tmp_path / "..2024" / "token").write_text("abc")
    (tmp_path / "..data").symlink_to("..2024")
    (tmp_path / "token").symlink_to("..data/token")
    assert read_credentials(tmp_path).first("token") == "abc"


def test_read_credentials_unusable_directory_is_credentials_missing(tmp_path):
    (tmp_path / "other").write_text("x")
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "token").write_bytes(b"\xff\xfe")
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "token").write_bytes(b"a" * (1024 * 1024 + 1))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "token").mkdir()
    for directory in (tmp_path, tmp_path / "absent", *(tmp_path / n for n in ("binary", "large", "folder"))):
        with pytest.raises(FetchError) as caught:
            read_credentials(directory)
        assert caught.value.reason is FetchReason.CREDENTIALS_MISSING


def test_pair_half_a_pair_names_the_missing_key():
    with pytest.raises(FetchError, match="lacks the key password"):
        Credentials({"username": "anna"}).pair("username", "password")
    assert Credentials().pair("username", "password") is None


def test_build_ssl_context_bad_authority_is_credentials_missing():
    with pytest.raises(FetchError, match=r"ca\.crt"):
        build_ssl_context(Credentials({"ca.crt": "not pem"}))


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://u:p@host:8443/m.onnx?sig=1#f", "https://host:8443/m.onnx?[redacted]"),
        ("oci://r.example/spam:1", "oci://r.example/spam:1"),
        ("https://[::1/", "[redacted]"),
    ],
)
def test_redact_url_keeps_host_and_path(url, clean):
    assert redact_url(url) == clean


def test_redactor_removes_secrets_in_every_form_and_ignores_tiny_ones():
    redactor = Redactor(["s3cret/x", "s3cret/x+long", "abc"])
    assert redactor.clean("a s3cret/x+long b s3cret/x c s3cret%2Fx abc") == (
        "a [redacted] b [redacted] c [redacted] abc"
    )
