"""The arguments of `chat`."""

import argparse

from modelservice_pipeline.predict.arguments import add_cluster_arguments, add_identity_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "target", metavar="URL|NAME", help="the server, such as http://127.0.0.1:8080, or a ModelService"
    )
    parser.add_argument(
        "--model", metavar="NAME", help="which model, or which adapter (default: the server's only model)"
    )
    parser.add_argument("--system", metavar="TEXT", help="what the model is told before the conversation")
    parser.add_argument(
        "--max-tokens", type=int, metavar="N", help="the longest answer (default: the server's)"
    )
    parser.add_argument(
        "--temperature", type=float, metavar="T", help="0 for the most probable words (default: the server's)"
    )
    add_identity_arguments(parser)
    add_cluster_arguments(parser)
