"""The arguments of `chat`."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("url", metavar="URL", help="the server, such as http://127.0.0.1:8080")
    parser.add_argument("--model", metavar="NAME", help="which model (default: the server's only one)")
    parser.add_argument("--system", metavar="TEXT", help="what the model is told before the conversation")
    parser.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="the file with the key that the server asks for"
    )
    parser.add_argument(
        "--max-tokens", type=int, metavar="N", help="the longest answer (default: the server's)"
    )
    parser.add_argument(
        "--temperature", type=float, metavar="T", help="0 for the most probable words (default: the server's)"
    )
