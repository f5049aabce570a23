import subprocess
import sys

HEAVY = {"kubernetes", "matplotlib", "numpy", "onnx", "onnxruntime", "rich", "sacrebleu", "sklearn"}
"""Of the extras: who installs the command line without them still has every command's help."""


def test_no_command_imports_anything_heavy_before_it_runs() -> None:
    program = (
        "import argparse, sys\n"
        "from modelservice_pipeline.commands.registry import COMMANDS\n"
        "for one in COMMANDS: one.load().add_arguments(argparse.ArgumentParser())\n"
        "print(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in found.stdout.split()} & HEAVY
