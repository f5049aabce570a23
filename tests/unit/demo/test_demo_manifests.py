"""Image substitution and the ModelService with its digest."""

import pytest
import yaml
from hack.demo.manifests import build_model_service, find_names, image_repository, replace_images

INSTALL = """
# a comment
apiVersion: apps/v1
kind: Deployment
metadata: {name: operator}
spec:
  template:
    spec:
      containers:
        - {name: operator, image: "modelservice/operator:0.1.0", args: ["modelservice/operator:0.1.0"]}
        - {name: other, image: example/other:1}
---
---
apiVersion: modelservice.dev/v1alpha1
kind: ModelRuntime
metadata: {name: onnx}
spec: {image: "modelservice/runtime@sha256:00", gpuImage: "modelservice/runtime:gpu"}
"""


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        ("modelservice/operator:0.1.0", "modelservice/operator"),
        ("modelservice/operator", "modelservice/operator"),
        ("10.0.0.1:5000/a/b", "10.0.0.1:5000/a/b"),
        ("10.0.0.1:5000/a/b:dev@sha256:00", "10.0.0.1:5000/a/b"),
        ("python", "python"),
    ],
)
def test_image_repository_reference_loses_tag_and_digest(reference, repository):
    assert image_repository(reference) == repository


def test_replace_images_changes_only_the_named_images():
    text = replace_images(
        INSTALL, {"modelservice/operator": "r:5000/o:1", "modelservice/runtime": "r:5000/r:2"}
    )
    deployment, runtime = yaml.safe_load_all(text)
    expected, expected_runtime = [document for document in yaml.safe_load_all(INSTALL) if document]
    expected["spec"]["template"]["spec"]["containers"][0]["image"] = "r:5000/o:1"
    expected_runtime["spec"] = {"image": "r:5000/r:2", "gpuImage": "r:5000/r:2"}
    assert (deployment, runtime) == (expected, expected_runtime)


def test_replace_images_image_that_does_not_occur_is_an_error():
    with pytest.raises(ValueError, match="no document has an image modelservice/absent"):
        replace_images(INSTALL, {"modelservice/operator": "a", "modelservice/absent": "b"})


def test_build_model_service_keeps_the_rest_of_the_manifest():
    text = "metadata: {name: spam}\nspec: {model: {storageUri: old, format: onnx}, replicas: 1}\n"
    assert yaml.safe_load(build_model_service(text, "oci://r/m:1", "ab")) == {
        "metadata": {"name": "spam"},
        "spec": {"model": {"storageUri": "oci://r/m:1", "format": "onnx", "sha256": "ab"}, "replicas": 1},
    }


def test_find_names_yields_the_kind_only():
    assert list(find_names(INSTALL, "ModelRuntime")) == ["onnx"]
