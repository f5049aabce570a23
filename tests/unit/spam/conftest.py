"""The examples are not installed: their folders go on the import path for these tests."""

import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[3] / "examples"
sys.path[:0] = [str(EXAMPLES / "01-spam"), str(EXAMPLES / "03-canary")]
