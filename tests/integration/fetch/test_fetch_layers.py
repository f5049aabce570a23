"""Artifacts as tools push them: oras, container images, ModelPack; the bytes decide what a layer is."""

import hashlib

import pytest
from tests.integration.fetch.fetch_models import WEIGHTS, make_model, make_tar
from tests.integration.fetch.fetch_registries import MANIFEST

from modelservice_runtime.fetch.errors import FetchReason

MODEL = make_model()
NAMED = make_model("model.onnx.data")  # the data is called after the model, as torch.onnx.export does
DEEP = make_model("weights/part 1.bin")
EARLY = make_model("a.bin")  # comes before the model in an archive
INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE_LAYER = "application/vnd.oci.image.layer.v1.tar"


@pytest.fixture
def fetch(fetcher, registry, tls_registry):
    """Push layers, fetch them, and return the files; layers are (title, bytes)."""

    async def run(*layers, sha256=None, max_bytes=10_000_000, **changes):
        registry.push("models/layers", "1", *layers, **changes)
        uri = f"oci://{tls_registry.name}/models/layers:1"
        await fetcher.fetch(uri, sha256=sha256, max_bytes=max_bytes)
        return fetcher.files

    return run


@pytest.fixture
def fail(fetcher, registry, tls_registry):
    async def run(*layers, sha256=None, max_bytes=10_000_000):
        registry.push("models/layers", "1", *layers)
        uri = f"oci://{tls_registry.name}/models/layers:1"
        return await fetcher.fail(uri, sha256=sha256, max_bytes=max_bytes)

    return run


@pytest.mark.parametrize("media_type", [IMAGE_LAYER, "application/vnd.cncf.model.weight.v1.raw", None])
async def test_fetch_oci_plain_file_under_any_media_type(fetch, media_type):
    assert await fetch(("spam.onnx", MODEL), mediaType=media_type) == {"model.onnx": MODEL}


async def test_fetch_oci_files_that_the_model_does_not_name_are_left_out(fetch):
    layers = [("README.md", b"read me"), ("spam.onnx", MODEL), ("my labels.txt", b"a b"), ("empty", b"")]
    assert await fetch(*layers) == {"spam.onnx": MODEL}


async def test_fetch_oci_titles_with_folders_lead_to_external_data(fetch):
    layers = [("onnx/weights/part 1.bin", WEIGHTS), ("onnx/model.onnx", DEEP), ("weights/part 1.bin", b"no")]
    assert await fetch(*layers) == {"model.onnx": DEEP, "weights/part 1.bin": WEIGHTS}


async def test_fetch_oci_external_data_that_is_missing_is_named(fail):
    error = await fail(("onnx/model.onnx", NAMED), ("model.onnx.data", WEIGHTS))
    assert error.reason is FetchReason.MODEL_NOT_FOUND
    assert "onnx/model.onnx.data" in error.message


@pytest.mark.parametrize("title", ["../model.onnx", "/etc/model.onnx"])
async def test_fetch_oci_title_that_leads_outside_is_no_name(fetch, title):
    assert await fetch((title, MODEL)) == {"model.onnx": MODEL}


@pytest.mark.parametrize("compression", ["", "gz"])
@pytest.mark.parametrize("folder", ["", "./", "models/1/", "onnx/"])
async def test_fetch_oci_archive_gives_the_model_and_what_it_names(fetch, compression, folder):
    files = {
        f"{folder}README.md": b"read me",
        f"{folder}model.onnx": NAMED,
        f"{folder}model.onnx.data": WEIGHTS,
        f"{folder}../../etc/passwd": b"outside",
    }
    sha256 = hashlib.sha256(NAMED).hexdigest()
    # oras titles a folder after itself; images have no titles.
    stored = await fetch(("onnx" if folder else None, make_tar(files, compression)), sha256=sha256)
    assert stored == {"model.onnx": NAMED, "model.onnx.data": WEIGHTS}


async def test_fetch_oci_archive_data_before_its_model_is_read_again(fetch):
    files = {"m/a.bin": WEIGHTS, "m/z.onnx": EARLY}
    assert await fetch((None, make_tar(files, "gz"))) == {"z.onnx": EARLY, "a.bin": WEIGHTS}


async def test_fetch_oci_image_of_several_layers(fetch):
    base = make_tar({"lib/onnxruntime/datasets/sigmoid.onnx": MODEL, "m/model.onnx": MODEL}, "gz")
    data = make_tar({"m/a.bin": WEIGHTS}, "gz")
    model = make_tar({"m/model.onnx": EARLY})
    empty = make_tar({}, "gz")
    assert await fetch((None, base), (None, data), (None, model), (None, empty)) == {
        "model.onnx": EARLY,
        "a.bin": WEIGHTS,
    }


async def test_fetch_oci_image_of_kserve_has_the_model_below_models(fetch):
    car = make_tar({"model.onnx": MODEL, "a/b.onnx": MODEL, "models/c.onnx": EARLY, "models/a.bin": WEIGHTS})
    assert await fetch((None, car)) == {"c.onnx": EARLY, "a.bin": WEIGHTS}


async def test_fetch_oci_image_higher_layer_replaces_what_a_lower_one_has(fetch):
    old = make_tar({"m/a.bin": b"old" * 6000, "m/model.onnx": EARLY, "m/b.onnx": MODEL})
    new = make_tar({"m/a.bin": WEIGHTS, "m/.wh.b.onnx": b""})
    assert await fetch((None, old), (None, new)) == {"model.onnx": EARLY, "a.bin": WEIGHTS}


async def test_fetch_oci_modelpack_of_files_in_archives(fetch):
    layers = [
        ("config.json", make_tar({"config.json": b"{}"})),
        ("onnx/model.onnx", make_tar({"onnx/model.onnx": NAMED})),
        ("onnx/model.onnx.data", make_tar({"onnx/model.onnx.data": WEIGHTS})),
    ]
    assert await fetch(*layers) == {"model.onnx": NAMED, "model.onnx.data": WEIGHTS}


async def test_fetch_oci_archive_of_another_model_is_digest_mismatch(fail):
    error = await fail((None, make_tar({"model.onnx": MODEL})), sha256="0" * 64)
    assert error.reason is FetchReason.DIGEST_MISMATCH


async def test_fetch_oci_archive_bomb_is_too_large(fail):
    bomb = make_tar({"zeros": bytes(30_000_000), "model.onnx": MODEL}, "gz")
    error = await fail((None, bomb), max_bytes=1_000_000)
    assert error.reason is FetchReason.MODEL_TOO_LARGE
    assert "spec.model.maxSize" in error.message


@pytest.mark.parametrize(
    ("data", "reason", "named"),
    [
        (make_tar({"model.onnx": MODEL})[:8000], FetchReason.ARCHIVE_REFUSED, "middle of a file"),
        (make_tar({"model.onnx": MODEL}, "gz")[:3000], FetchReason.ARCHIVE_REFUSED, "ends"),
        (make_tar({"README.md": b"x"}), FetchReason.MODEL_NOT_FOUND, "ends in .onnx"),
        (make_tar({"a.onnx": MODEL, "b.onnx": MODEL}), FetchReason.MODEL_NOT_FOUND, "a.onnx, b.onnx"),
        (b"\x28\xb5\x2f\xfd" + bytes(99), FetchReason.ARCHIVE_REFUSED, "gzip"),
        (b"PK\x03\x04" + bytes(99), FetchReason.ARCHIVE_REFUSED, "zip archive"),
        (b"", FetchReason.DOWNLOAD_FAILED, "empty"),
    ],
)
async def test_fetch_oci_unusable_layer_says_why(fail, data, reason, named):
    error = await fail((None, data))
    assert error.reason is reason
    assert named in error.message


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        ([("README.md", b"# Spam\n\nA model.\n")], ["README.md", "not an ONNX model"]),
        ([("config.json", b'{"a": 1}')], ["config.json", "is JSON"]),
        ([(None, b"{}")], ["a layer without a name", "is JSON"]),  # of artifacts without files
        (
            [("README.md", b"read me"), ("labels.txt", b"a b")],
            ["none of the 2 files", "README.md, labels.txt"],
        ),
        (
            [("docs", make_tar({"docs/a.md": b"x"}, "gz")), ("b.md", b"y")],
            ["none of the 2", "b.md, docs/a.md"],
        ),
        ([(None, make_tar({"README.md": b"x"}))], ["none of the 1 files", "README.md"]),
    ],
)
async def test_fetch_oci_artifact_without_a_model_says_what_is_there(fail, fetcher, layers, named):
    error = await fail(*layers)
    assert error.reason is FetchReason.MODEL_NOT_FOUND
    assert all(text in error.message for text in (*named, ".onnx", "spec.model.storageUri")), error.message
    assert fetcher.files == {}


@pytest.mark.parametrize("title", ["spam", "spam.pb", "1/model"])
async def test_fetch_oci_model_under_any_name_is_one_by_its_bytes(fetch, title):
    assert await fetch((title, MODEL)) == {"model.onnx": MODEL}


async def test_fetch_oci_plain_http_archive_needs_the_manifest_digest_for_external_data(fetcher, registry):
    archive = make_tar({"model.onnx": NAMED, "model.onnx.data": WEIGHTS})
    digest = registry.push("models/plain", "1", (None, archive))
    sha256 = hashlib.sha256(NAMED).hexdigest()
    error = await fetcher.fail(f"oci://{registry.name}/models/plain:1", sha256=sha256)
    assert error.reason is FetchReason.INVALID_URI
    await fetcher.fetch(f"oci://{registry.name}/models/plain@{digest}")
    assert set(fetcher.files) == {"model.onnx", "model.onnx.data"}


async def test_fetch_oci_index_with_attestation_gives_the_image(fetcher, registry, tls_registry):
    image = registry.push("models/index", "image", (None, make_tar({"m.onnx": MODEL}, "gz")))
    entries = [
        {"mediaType": MANIFEST, "digest": image, "size": registry.size_bytes(image)},
        {"mediaType": MANIFEST, "digest": image, "size": registry.size_bytes(image)},
    ]
    entries[0]["platform"] = {"os": "linux", "architecture": "arm64"}
    entries[1]["platform"] = {"os": "unknown", "architecture": "unknown"}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    registry.push_manifest("models/index", "1", INDEX, index)
    await fetcher.fetch(f"oci://{tls_registry.name}/models/index:1")
    assert fetcher.files == {"m.onnx": MODEL}
