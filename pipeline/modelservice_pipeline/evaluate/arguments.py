"""The flags by which commands say what a model's outputs mean; nothing heavy is imported before it does."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelservice_pipeline.evaluate.outputs import Reading


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be said about a model's answers."""
    group = parser.add_argument_group("answers")
    group.add_argument(
        "--task",
        choices=("classification", "regression", "text"),
        help="what the model is for (default: found out)",
    )
    group.add_argument("--output-name", metavar="NAME", help="the only output to look at")
    group.add_argument("--classes", metavar="NAME,NAME...", help="the model's classes in its order")
    group.add_argument(
        "--positive",
        metavar="CLASS",
        help="the class of precision, recall and F1 (default: the greater of two)",
    )
    group.add_argument("--threshold", type=float, metavar="P", help="answer the second class from P on")


def make_reading(arguments: argparse.Namespace) -> "Reading":
    """Return what the flags say, but for the positive class."""
    from modelservice_pipeline.evaluate.outputs import Reading

    classes = tuple(arguments.classes.split(",")) if arguments.classes else ()
    return Reading(arguments.task, arguments.output_name, classes, arguments.threshold)
