import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.oci_manifest import Artifact, Index, Layer, parse_manifest

HEX = "ab" * 32
TITLE = "org.opencontainers.image.title"


def make_layer(title: str | None = "spam.onnx", **changes: object) -> dict[str, object]:
    layer: dict[str, object] = {"mediaType": "application/octet-stream", "digest": f"sha256:{HEX}", "size": 7}
    if title is not None:
        layer["annotations"] = {TITLE: title}
    return {**layer, **changes}


def parse(*layers: object) -> Artifact | Index:
    return parse_manifest(json.dumps({"schemaVersion": 2, "layers": layers}).encode())


@pytest.mark.parametrize("title", ["spam.onnx", "model.onnx", None, "../x"])
def test_parse_manifest_single_layer_is_called_model_onnx(title):
    assert parse(make_layer(title)) == Artifact((Layer("model.onnx", HEX, 7),))


def test_parse_manifest_several_layers_keep_titles_with_the_model_last():
    artifact = parse(make_layer("big.onnx"), make_layer("weights.bin"), make_layer("vocab.txt"))
    assert isinstance(artifact, Artifact)
    assert [layer.name for layer in artifact.layers] == ["weights.bin", "vocab.txt", "big.onnx"]
    assert artifact.model.name == "big.onnx"


def test_parse_manifest_index_of_one_leads_to_its_manifest():
    body = json.dumps({"manifests": [{"digest": f"sha256:{HEX}"}]}).encode()
    assert parse_manifest(body) == Index(f"sha256:{HEX}")


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/zip",
        "application/octet-stream+gzip",
        None,
    ],
)
def test_parse_manifest_archive_layer_is_refused(media_type):
    with pytest.raises(FetchError, match="oras push") as caught:
        parse(make_layer(mediaType=media_type))
    assert caught.value.reason is FetchReason.ARCHIVE_REFUSED


@pytest.mark.parametrize(
    "layers",
    [
        [],
        ["text"],
        [make_layer(digest="sha512:00")],
        [make_layer(digest=f"sha256:{HEX}/../x")],
        [make_layer(size=-1)],
        [make_layer(size=True)],
        [make_layer(size="7")],
        [make_layer("a.onnx"), make_layer(None)],
        [make_layer("a.onnx"), make_layer("../b")],
        [make_layer("a.onnx"), make_layer("/etc/passwd")],
        [make_layer("a.onnx"), make_layer(".hidden")],
        [make_layer("a.onnx"), make_layer("a\nb")],
        [make_layer("a.onnx"), make_layer("x" * 256)],
        [make_layer("a.onnx"), make_layer("a.onnx")],
        [make_layer(f"{n}.onnx") for n in range(101)],
    ],
)
def test_parse_manifest_unusable_layers_are_refused(layers):
    with pytest.raises(FetchError) as caught:
        parse(*layers)
    assert caught.value.reason is FetchReason.ARCHIVE_REFUSED


@pytest.mark.parametrize("titles", [["a.txt", "b.txt"], ["a.onnx", "b.onnx"]])
def test_parse_manifest_no_single_model_is_model_not_found(titles):
    with pytest.raises(FetchError) as caught:
        parse(*(make_layer(title) for title in titles))
    assert caught.value.reason is FetchReason.MODEL_NOT_FOUND


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"nope",
        b"[" * 200_000,
        b'{"manifests": []}',
        b'{"manifests": [1]}',
        b'{"layers": {}}',
        b"\xff",
    ],
)
def test_parse_manifest_other_documents_are_refused(body):
    with pytest.raises(FetchError) as caught:
        parse_manifest(body)
    assert caught.value.reason is FetchReason.ARCHIVE_REFUSED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["layers", "size", "digest"]), inner)
    ),
    max_leaves=10,
)


@given(JSON)
def test_parse_manifest_any_json_is_read_or_refused(document):
    reason = None
    try:
        parse_manifest(json.dumps(document).encode())
    except FetchError as error:
        reason = error.reason
    assert reason in (None, FetchReason.ARCHIVE_REFUSED, FetchReason.MODEL_NOT_FOUND)
