import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.oci.manifest import Artifact, Index, Layer, parse_manifest

HEX, OTHER_HEX = "ab" * 32, "cd" * 32
TITLE = "org.opencontainers.image.title"
FILE_PATH = "org.cncf.model.filepath"


def make_layer(title: str | None = "spam.onnx", **changes: object) -> dict[str, object]:
    layer: dict[str, object] = {"mediaType": "application/octet-stream", "digest": f"sha256:{HEX}", "size": 7}
    if title is not None:
        layer["annotations"] = {TITLE: title}
    return {**layer, **changes}


def make_entry(platform: str | None, digest: str = HEX, **annotations: str) -> dict[str, object]:
    entry: dict[str, object] = {"digest": f"sha256:{digest}", "annotations": annotations}
    if platform is not None:
        system, _, architecture = platform.partition("/")
        entry["platform"] = {"os": system, "architecture": architecture}
    return entry


def parse(*layers: object) -> Artifact | Index:
    return parse_manifest(json.dumps({"schemaVersion": 2, "layers": layers}).encode(), "amd64")


def parse_index(*entries: object) -> Artifact | Index:
    return parse_manifest(json.dumps({"manifests": entries}).encode(), "amd64")


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.layer.v1.tar",  # what oras gives plain files
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.cncf.model.weight.v1.raw",
        "application/vnd.kitops.modelkit.model.v1.tar+gzip",
        "application/octet-stream",
        None,
    ],
)
def test_parse_manifest_media_types_decide_nothing(media_type):
    assert parse(make_layer(mediaType=media_type)) == Artifact((Layer("spam.onnx", HEX, 7),))


@pytest.mark.parametrize(
    ("annotations", "path"),
    [
        ({TITLE: "onnx/model.onnx"}, "onnx/model.onnx"),
        ({TITLE: "./my model.onnx"}, "my model.onnx"),
        ({TITLE: "x", FILE_PATH: "onnx/model.onnx"}, "onnx/model.onnx"),
        ({TITLE: "x", FILE_PATH: "../../etc/passwd"}, "x"),
        ({TITLE: "../x"}, None),
        ({TITLE: "/etc/passwd"}, None),
        ({TITLE: "a\nb"}, None),
        ({TITLE: 7}, None),
        ({TITLE: "."}, None),
        ("text", None),
        (None, None),
    ],
)
def test_parse_manifest_paths_are_noted_and_safe(annotations, path):
    assert parse(make_layer(annotations=annotations)) == Artifact((Layer(path, HEX, 7),))


def test_parse_manifest_index_leaves_attestations_out():
    index = parse_index(
        make_entry("unknown/unknown", OTHER_HEX),
        make_entry(None, OTHER_HEX, **{"vnd.docker.reference.type": "attestation-manifest"}),
        make_entry("linux/s390x"),
    )
    assert index == Index(f"sha256:{HEX}")


def test_parse_manifest_index_gives_the_image_of_this_machine():
    entries = [make_entry("windows/amd64", OTHER_HEX), make_entry("linux/arm64", OTHER_HEX)]
    assert parse_index(*entries, make_entry("linux/amd64")) == Index(f"sha256:{HEX}")
    assert parse_index(make_entry("linux/amd64"), *entries) == Index(f"sha256:{HEX}")


def test_parse_manifest_index_of_one_leads_to_it_whatever_its_platform():
    assert parse_index(make_entry(None)) == Index(f"sha256:{HEX}")
    assert parse_index(make_entry("linux/arm64")) == Index(f"sha256:{HEX}")


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ([make_entry("linux/arm64"), make_entry("linux/s390x")], "linux/arm64, linux/s390x"),
        ([make_entry(None), make_entry(None)], "no platform"),
        ([make_entry("unknown/unknown")], "nothing"),
        ([], "nothing"),
    ],
)
def test_parse_manifest_index_without_this_machine_says_what_it_has(entries, named):
    with pytest.raises(FetchError) as caught:
        parse_index(*entries)
    assert caught.value.reason is FetchReason.MODEL_NOT_FOUND
    assert f"offers {named}, and this machine is linux/amd64" in caught.value.message


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
        [make_layer(f"{n}.onnx") for n in range(201)],
    ],
)
def test_parse_manifest_unusable_layers_are_refused(layers):
    with pytest.raises(FetchError, match="oras push") as caught:
        parse(*layers)
    assert caught.value.reason is FetchReason.ARCHIVE_REFUSED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"nope",
        b"[" * 200_000,
        b'{"manifests": [1]}',
        b'{"manifests": {}}',
        b'{"layers": {}}',
        b'{"schemaVersion": 1, "fsLayers": []}',
        b"\xff",
    ],
)
def test_parse_manifest_other_documents_are_refused(body):
    with pytest.raises(FetchError) as caught:
        parse_manifest(body, "amd64")
    assert caught.value.reason is FetchReason.ARCHIVE_REFUSED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["layers", "size", "digest", "manifests", "platform", "os", "annotations"]), inner
        )
    ),
    max_leaves=10,
)


@given(JSON)
def test_parse_manifest_any_json_is_read_or_refused(document):
    reason = None
    try:
        parse_manifest(json.dumps(document).encode(), "amd64")
    except FetchError as error:
        reason = error.reason
    assert reason in (None, FetchReason.ARCHIVE_REFUSED, FetchReason.MODEL_NOT_FOUND)
