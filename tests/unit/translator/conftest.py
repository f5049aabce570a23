"""The examples are not installed: their folders go on the import path for these tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "13-translator"))
