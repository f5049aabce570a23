"""The fetcher against Debian's docker-registry: anonymous, with passwords, with tokens, over TLS and not."""

import base64
import hashlib
import json

import pytest
from tests.integration.fetch.fetch_models import WEIGHTS, make_model
from tests.integration.fetch.fetch_registries import MANIFEST, RegistryServer

from modelservice_runtime.fetch.errors import FetchReason
from modelservice_runtime.fetch.http.addresses import AddressPolicy

MODEL, LARGE = make_model(), make_model("large.onnx.data")
SHA256, LARGE_SHA256 = (hashlib.sha256(model).hexdigest() for model in (MODEL, LARGE))


@pytest.fixture
def artifact(registry: RegistryServer) -> str:
    """The digest of models/spam:1, a single file."""
    return registry.push("models/spam", "1", ("spam.onnx", MODEL))


@pytest.fixture
def large_artifact(registry: RegistryServer) -> str:
    """The digest of models/large:1, a model with external data."""
    return registry.push("models/large", "1", ("large.onnx", LARGE), ("large.onnx.data", WEIGHTS))


def docker_config(registry: RegistryServer, password: str = "hunter22") -> dict[str, str]:
    auth = base64.b64encode(f"anna:{password}".encode()).decode()
    return {".dockerconfigjson": json.dumps({"auths": {registry.name: {"auth": auth}}})}


async def test_fetch_oci_over_tls_by_tag(fetcher, tls_registry, artifact):
    result = await fetcher.fetch(f"oci://{tls_registry.name}/models/spam:1")
    assert fetcher.files == {"model.onnx": MODEL}
    assert (result.sha256, result.size_bytes) == (SHA256, len(MODEL))


async def test_fetch_oci_reads_what_releases_before_modelpack_pushed(fetcher, registry, tls_registry):
    old = "application/vnd.modelservice.model.layer.v1.onnx"
    registry.push("models/old", "1", ("spam.onnx", MODEL), mediaType=old)
    await fetcher.fetch(f"oci://{tls_registry.name}/models/old:1")
    assert fetcher.files == {"model.onnx": MODEL}


async def test_fetch_oci_several_files_keep_their_names(fetcher, tls_registry, large_artifact):
    result = await fetcher.fetch(f"oci://{tls_registry.name}/models/large:1", sha256=LARGE_SHA256)
    assert fetcher.files == {"large.onnx": LARGE, "large.onnx.data": WEIGHTS}
    assert result.model_path.name == "large.onnx"
    size_bytes = len(LARGE) + len(WEIGHTS)
    assert (result.sha256, result.size_bytes, result.file_count) == (LARGE_SHA256, size_bytes, 2)


async def test_fetch_oci_several_files_share_the_cap(fetcher, tls_registry, large_artifact):
    with pytest.raises(Exception, match="maxSize") as caught:
        await fetcher.fetch(f"oci://{tls_registry.name}/models/large:1", max_bytes=len(LARGE) + 10)
    assert caught.value.reason is FetchReason.MODEL_TOO_LARGE
    assert "large.onnx" not in fetcher.files


async def test_fetch_oci_index_of_one_manifest(fetcher, registry, tls_registry, artifact):
    media_type = "application/vnd.oci.image.index.v1+json"
    entry = {"mediaType": MANIFEST, "digest": artifact, "size": registry.size_bytes(artifact)}
    index = {"schemaVersion": 2, "mediaType": media_type, "manifests": [entry]}
    registry.push_manifest("models/spam", "index", media_type, index)
    await fetcher.fetch(f"oci://{tls_registry.name}/models/spam:index")
    assert fetcher.files == {"model.onnx": MODEL}


@pytest.mark.parametrize("pin", ["sha256", "digest"])
async def test_fetch_oci_plain_http_is_used_for_pinned_content(fetcher, registry, artifact, pin):
    reference, sha256 = (":1", SHA256) if pin == "sha256" else (f"@{artifact}", None)
    await fetcher.fetch(
        f"oci://{registry.name}/models/spam{reference}", sha256=sha256, credentials_directory=None
    )
    assert fetcher.files == {"model.onnx": MODEL}


async def test_fetch_oci_plain_http_unpinned_is_refused_with_the_remedy(fetcher, registry, artifact):
    error = await fetcher.fail(f"oci://{registry.name}/models/spam:1")
    assert error.reason is FetchReason.INVALID_URI
    assert "spec.model.sha256" in error.message


async def test_fetch_oci_plain_http_several_files_need_the_manifest_digest(fetcher, registry, large_artifact):
    error = await fetcher.fail(f"oci://{registry.name}/models/large:1", sha256=LARGE_SHA256)
    assert error.reason is FetchReason.INVALID_URI
    await fetcher.fetch(f"oci://{registry.name}/models/large@{large_artifact}")
    assert set(fetcher.files) == {"large.onnx", "large.onnx.data"}


async def test_fetch_oci_plain_http_with_passwords_never_sends_one(
    fetcher, plain_password_registry, artifact
):
    credentials = fetcher.credentials(**docker_config(plain_password_registry))
    error = await fetcher.fail(
        f"oci://{plain_password_registry.name}/models/spam:1",
        sha256=SHA256,
        credentials_directory=credentials,
    )
    assert error.reason is FetchReason.ACCESS_DENIED
    assert "plain http" in error.message


async def test_fetch_oci_password_opens_the_registry(fetcher, password_registry, artifact):
    credentials = fetcher.credentials(**docker_config(password_registry))
    await fetcher.fetch(f"oci://{password_registry.name}/models/spam:1", credentials_directory=credentials)
    assert fetcher.files == {"model.onnx": MODEL}


async def test_fetch_oci_wrong_password_is_access_denied(fetcher, password_registry, artifact):
    credentials = fetcher.credentials(**docker_config(password_registry, "wrong-password"))
    error = await fetcher.fail(
        f"oci://{password_registry.name}/models/spam:1", credentials_directory=credentials
    )
    assert error.reason is FetchReason.ACCESS_DENIED
    assert "wrong-password" not in error.message


async def test_fetch_oci_no_password_is_credentials_missing(fetcher, password_registry, artifact):
    error = await fetcher.fail(f"oci://{password_registry.name}/models/spam:1")
    assert error.reason is FetchReason.CREDENTIALS_MISSING
    assert "kubectl create secret docker-registry" in error.message


@pytest.mark.parametrize("name", ["models/spam:absent", "models/none:1", f"models/spam@sha256:{'0' * 64}"])
async def test_fetch_oci_missing_artifact_is_model_not_found(fetcher, tls_registry, artifact, name):
    error = await fetcher.fail(f"oci://{tls_registry.name}/{name}")
    assert error.reason is FetchReason.MODEL_NOT_FOUND


async def test_fetch_oci_wrong_sha256_is_known_before_the_download(fetcher, tls_registry, artifact):
    error = await fetcher.fail(f"oci://{tls_registry.name}/models/spam:1", sha256="0" * 64)
    assert error.reason is FetchReason.DIGEST_MISMATCH


async def test_fetch_oci_blob_changed_in_the_store_is_digest_mismatch(fetcher, registry, tls_registry):
    model = MODEL + b"to be spoiled"
    registry.push("models/spoiled", "1", ("spam.onnx", model))
    registry.spoil(model)
    error = await fetcher.fail(f"oci://{tls_registry.name}/models/spoiled:1")
    assert error.reason is FetchReason.DIGEST_MISMATCH


async def test_fetch_oci_forbidden_address_is_not_contacted(fetcher, tls_registry, artifact):
    error = await fetcher.fail(f"oci://{tls_registry.name}/models/spam:1", addresses=AddressPolicy())
    assert error.reason is FetchReason.ADDRESS_FORBIDDEN


async def test_fetch_oci_anonymous_token_opens_the_registry(fetcher, token_registry, artifact):
    await fetcher.fetch(f"oci://{token_registry.name}/models/spam:1")
    assert fetcher.files == {"model.onnx": MODEL}


async def test_fetch_oci_token_for_a_password_opens_the_registry(
    fetcher, token_registry, token_service, artifact
):
    token_service.password = "hunter22"
    credentials = fetcher.credentials(**docker_config(token_registry))
    await fetcher.fetch(f"oci://{token_registry.name}/models/spam:1", credentials_directory=credentials)
    assert fetcher.files == {"model.onnx": MODEL}


async def test_fetch_oci_token_service_without_password_is_credentials_missing(
    fetcher, token_registry, token_service, artifact
):
    token_service.password = "hunter22"
    error = await fetcher.fail(f"oci://{token_registry.name}/models/spam:1")
    assert error.reason is FetchReason.CREDENTIALS_MISSING


async def test_fetch_oci_identity_token_is_exchanged(fetcher, token_registry, token_service, artifact):
    token_service.refresh_token = "refresh-me"
    uri = f"oci://{token_registry.name}/models/spam:1"
    for identity_token, reason in (("refresh-me", None), ("revoked", FetchReason.ACCESS_DENIED)):
        config = {"auths": {"127.0.*.1:" + str(token_registry.port): {"identitytoken": identity_token}}}
        credentials = fetcher.credentials(**{"config.json": json.dumps(config)})
        if reason is None:
            await fetcher.fetch(uri, credentials_directory=credentials)
            assert fetcher.files == {"model.onnx": MODEL}
            (fetcher.destination / "model.onnx").unlink()
        else:
            error = await fetcher.fail(uri, credentials_directory=credentials)
            assert error.reason is reason
            assert identity_token not in error.message


async def test_fetch_oci_identity_token_alone_opens_no_basic_registry(fetcher, password_registry, artifact):
    config = {"auths": {password_registry.name: {"identitytoken": "refresh-me"}}}
    error = await fetcher.fail(
        f"oci://{password_registry.name}/models/spam:1",
        credentials_directory=fetcher.credentials(**{"config.json": json.dumps(config)}),
    )
    assert error.reason is FetchReason.ACCESS_DENIED
    assert "identity token" in error.message


async def test_fetch_oci_credential_helper_is_named(fetcher, password_registry, artifact):
    config = {"auths": {password_registry.name: {}}, "credsStore": "osxkeychain"}
    error = await fetcher.fail(
        f"oci://{password_registry.name}/models/spam:1",
        credentials_directory=fetcher.credentials(**{"config.json": json.dumps(config)}),
    )
    assert error.reason is FetchReason.CREDENTIALS_MISSING
    assert "osxkeychain" in error.message


async def test_fetch_oci_token_service_at_a_forbidden_address_is_refused(fetcher, https, tls):
    https.answer(
        "/v2/models/spam/manifests/1", 401, **{"WWW-Authenticate": 'Bearer realm="https://169.254.169.254/t"'}
    )
    error = await fetcher.fail(f"oci://127.0.0.1:{https.port}/models/spam:1")
    assert error.reason is FetchReason.ADDRESS_FORBIDDEN


@pytest.mark.parametrize("realm", ["http://127.0.0.1/t", "file:///etc/passwd", "", "https://u:p@127.0.0.1/t"])
async def test_fetch_oci_token_service_without_tls_is_refused(fetcher, https, realm):
    https.answer("/v2/models/spam/manifests/1", 401, **{"WWW-Authenticate": f'Bearer realm="{realm}"'})
    error = await fetcher.fail(f"oci://127.0.0.1:{https.port}/models/spam:1")
    assert error.reason is FetchReason.ACCESS_DENIED


async def test_fetch_oci_other_manifest_than_its_digest_is_digest_mismatch(fetcher, https):
    digest = f"sha256:{'0' * 64}"
    https.serve(f"/v2/models/spam/manifests/{digest}", b'{"layers": []}')
    error = await fetcher.fail(f"oci://127.0.0.1:{https.port}/models/spam@{digest}")
    assert error.reason is FetchReason.DIGEST_MISMATCH


async def test_fetch_oci_endless_manifest_is_cut_off(fetcher, https):
    https.serve("/v2/models/spam/manifests/1", b" " * 5_000_000)
    error = await fetcher.fail(f"oci://127.0.0.1:{https.port}/models/spam:1")
    assert error.reason is FetchReason.DOWNLOAD_FAILED
