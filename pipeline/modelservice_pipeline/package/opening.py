"""Finds an artifact, wherever it is: a folder, a layout on disk, a registry."""

import argparse
from pathlib import Path
from typing import Literal

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.access import Access
from modelservice_pipeline.oci.content import Content
from modelservice_pipeline.oci.layout import is_layout, read_layout
from modelservice_pipeline.oci.reference import parse_reference
from modelservice_pipeline.oci.registry import Repository
from modelservice_pipeline.package.card import find_described_model
from modelservice_pipeline.package.description import Description
from modelservice_pipeline.package.files import find_model
from modelservice_pipeline.package.folder import ModelFolder, read_folder, read_text
from modelservice_pipeline.package.front_matter import split_card
from modelservice_pipeline.package.image import build_image
from modelservice_pipeline.package.licences import check_licence, read_licence
from modelservice_pipeline.package.modelpack import build_modelpack
from modelservice_pipeline.report.progress import say

Form = Literal["modelpack", "image"]
_LICENCE_FILES = ("LICENSE", "LICENCE", "LICENSE.txt", "LICENSE.md", "COPYING")


def open_target(target: str, access: Access) -> Content:
    """Return an artifact: of a folder, an ONNX file, a layout or a registry. Raises PipelineError."""
    path = Path(target)
    if path.exists():
        return read_layout(path) if is_layout(path) else pack(*read_and_describe(path))
    return open_reference(target, access)


def open_reference(target: str, access: Access) -> Content:
    """Return an artifact of a registry. Raises PipelineError."""
    try:
        reference = parse_reference(target)
    except PipelineError as error:
        raise PipelineError(f"there is no folder, file or layout {target}, and {error}") from None
    return Repository(reference, access).read_content()


def pack_arguments(path: Path, arguments: argparse.Namespace) -> Content:
    """Return what a folder becomes by the flags; a layout is what it is. Raises PipelineError."""
    if is_layout(path):
        return read_layout(path)
    folder = read_folder(
        path, model=arguments.model_file, version=arguments.model_version, exclude=arguments.exclude
    )
    for name, reason in folder.left_out.items():
        say(f"left out: {name} ({reason})")
    description = describe(folder, title=arguments.title, licence=arguments.license)
    content = pack(folder, description, arguments.form)
    _check_card(folder, content)
    return content


def _check_card(folder: ModelFolder, content: Content) -> None:
    """Tell where the card was written for another model than the one beside it."""
    described = find_described_model(folder.card or "")
    if described and described != find_model(content).sha256:
        say(
            "README.md tells of another model than this one: run 'modelservice model evaluate' and "
            "'modelservice model card' again"
        )


def read_and_describe(path: Path) -> tuple[ModelFolder, Description]:
    """Return a folder as it is. Raises PipelineError."""
    folder = read_folder(path)
    return folder, describe(folder)


def describe(folder: ModelFolder, *, title: str = "", licence: str | None = None) -> Description:
    """Return what the card and the licence say of a folder, once they agree. Raises PipelineError."""
    metadata = split_card(folder.card or "")[0]
    if licence is not None:
        metadata = {**metadata, "license": read_licence(licence)}
    text = next((read_text(folder.files[name]) for name in _LICENCE_FILES if name in folder.files), None)
    found, told = check_licence(metadata, text)
    for sentence in told:
        say(sentence)
    name = title or str(metadata.get("model_name") or "")
    return Description(name, str(folder.version or ""), found)


def pack(folder: ModelFolder, description: Description, form: Form = "modelpack") -> Content:
    """Return a folder in one of the forms. Raises PipelineError."""
    return build_image(folder, description) if form == "image" else build_modelpack(folder, description)
