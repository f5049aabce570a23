"""From a folder, or what was pushed, to the ModelService that serves it."""

import argparse
from pathlib import Path
from typing import Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.access import access_of
from modelservice_pipeline.oci.content import Content
from modelservice_pipeline.oci.push import push_content
from modelservice_pipeline.oci.reference import Reference, parse_reference
from modelservice_pipeline.oci.registry import Repository
from modelservice_pipeline.package.files import find_model
from modelservice_pipeline.package.opening import pack_arguments
from modelservice_pipeline.package.service import (
    ServiceOptions,
    build_service,
    name_of,
    render_service,
    service_options,
    write_service,
)
from modelservice_pipeline.package.summary import format_size
from modelservice_pipeline.report.progress import say

_TAG_DIGITS = 12


def check_model(arguments: argparse.Namespace) -> None:
    """Check what is said of the model, as far as nobody has to be asked. Raises PipelineError."""
    if not Path(arguments.model).exists():
        _check_reference(arguments.model)
    elif arguments.registry is None:
        raise PipelineError("--registry says where to push the model: such as registry.example.com/models")


def _check_reference(text: str) -> None:
    try:
        parse_reference(text)
    except PipelineError as error:
        raise PipelineError(f"there is no file or folder {text!r}; as what was pushed: {error}") from None


def prepare(arguments: argparse.Namespace, namespace: str | None, *, push: bool = True) -> dict[str, Any]:
    """Push what is not in a registry, and return the ModelService. Raises PipelineError."""
    content, reference, options = _find(arguments, namespace, push=push)
    return build_service(reference, find_model(content), options)


def print_yaml(arguments: argparse.Namespace) -> int:
    """Show the ModelService; nothing is pushed. Raises PipelineError."""
    manifest = prepare(arguments, getattr(arguments, "namespace", None), push=False)
    print(render_service(manifest), end="")
    return 0


def write_yaml(arguments: argparse.Namespace) -> int:
    """Push, and write the ModelService into a file. Raises PipelineError."""
    content, reference, options = _find(arguments, getattr(arguments, "namespace", None), push=True)
    write_service(arguments.output_yaml, reference, find_model(content), options)
    print(f"{arguments.output_yaml}: oci://{reference}")
    return 0


def _find(
    arguments: argparse.Namespace, namespace: str | None, *, push: bool
) -> tuple[Content, Reference, ServiceOptions]:
    """Return the artifact, where it is by its digest, and what is said of its ModelService."""
    check_model(arguments)
    path, access = Path(arguments.model), access_of(arguments)
    options = service_options(arguments, namespace)
    if not path.exists():
        reference = parse_reference(arguments.model)
        content = Repository(reference, access).read_content()
        return content, reference.pinned(content.root.digest), options
    content = pack_arguments(path, arguments)
    name = arguments.name or name_of(path.resolve().name.removesuffix(".onnx").removesuffix(".tar"))
    if name != name_of(name):
        raise PipelineError(f"--name {name}: expected at most 52 lower-case letters, digits and single '-'")
    tag = arguments.tag or content.root.digest.removeprefix("sha256:")[:_TAG_DIGITS]
    reference = parse_reference(f"{arguments.registry.rstrip('/')}/{name}:{tag}")
    if push:
        pushed = push_content(content, reference, access)
        say(f"pushed {reference} ({format_size(pushed.sent_bytes)} sent)")
    return content, reference.pinned(content.root.digest), options
