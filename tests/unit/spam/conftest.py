"""The example is not installed: its folder goes on the import path for these tests."""

import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples" / "01-spam"
sys.path.insert(0, str(EXAMPLE))
