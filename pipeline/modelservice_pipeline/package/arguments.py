"""The flags that say what is packaged and what serves it; nothing heavy is imported here."""

import argparse


def add_folder_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what of a folder is packaged, and as what."""
    group = parser.add_argument_group("folder")
    group.add_argument(
        "--as",
        dest="form",
        choices=("modelpack", "image"),
        default="modelpack",
        help="modelpack: an artifact with a layer a file; image: a container image that nodes can mount",
    )
    group.add_argument(
        "--model", dest="model_file", metavar="FILE", help="which file is the model; default: model.onnx"
    )
    group.add_argument(
        "--model-version",
        type=int,
        metavar="N",
        help="of a folder with folders 1, 2, ...; default: the highest",
    )
    group.add_argument(
        "--exclude", action="append", default=[], metavar="PATTERN", help="leave files out, as in '*.csv'"
    )
    group.add_argument("--title", default="", help="what the model is called; default: its card's name")
    group.add_argument("--license", metavar="SPDX", help="its licence, as in Apache-2.0; default: its card's")


def add_service_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is said of the ModelService, beside its namespace."""
    group = parser.add_argument_group("ModelService")
    group.add_argument("--name", metavar="NAME", help="default: the last part of the repository")
    group.add_argument("--replicas", type=int, metavar="N", help="how many pods; default: 1")
    group.add_argument(
        "--pull-secret", metavar="SECRET", help="the Secret with the registry's login, of the same namespace"
    )
    group.add_argument(
        "--verify",
        action="store_true",
        help="let servers replay the proof beside the model before they serve",
    )
    group.add_argument(
        "--cluster-registry",
        metavar="REGISTRY",
        help="how the cluster calls the registry, where it is not the name that this machine uses",
    )
