"""Fuzzing by coverage: `python -m tests.fuzz TARGET SECONDS` feeds a decoder what libFuzzer makes up.

A target is a function of bytes that raises where the code under test breaks its word. What is found is
written to `build/fuzz/TARGET-crash-...`; running `TARGET FILE` repeats it. The corpus stays in
`build/fuzz/TARGET` and grows from run to run.
"""

import os
import sys
from pathlib import Path

import atheris

_BUILD = Path("build", "fuzz")
_DICTIONARY = Path(__file__).with_name("dictionary.txt")
# libFuzzer's own: a single input may take this long and this much memory.
_LIMITS = ("-timeout=10", "-rss_limit_mb=2048", "-max_len=8192", "-print_final_stats=1")


def main(arguments: list[str]) -> None:
    """Fuzz a target for some seconds, or repeat a file."""
    name, what = arguments
    with atheris.instrument_imports(include=["modelservice_runtime"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    options = [f"-artifact_prefix={_BUILD}/{name}-", f"-dict={_DICTIONARY}", *_LIMITS]
    if what.isdigit():
        corpus = _BUILD / name
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(target.seeds()):
            (corpus / f"seed{number}").write_bytes(seed)
        options += [f"-max_total_time={what}", str(corpus)]
    else:
        options.append(what)
    atheris.Setup([sys.argv[0], *options], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    os.nice(19)
    main(sys.argv[1:])
