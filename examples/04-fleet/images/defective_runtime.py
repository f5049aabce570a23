"""The model server with a defect: half of its answers are NaN.

It starts, passes its probes and its trial, and answers 200. Only somebody who looks at the answers finds out.
"""

import random
import sys
from typing import Any

SHARE = 0.5


def break_runs() -> None:
    """From here on a share of all runs gives NaN in every float."""
    import numpy as np

    from modelservice_runtime.onnx.model import OnnxModel

    run = OnnxModel.run

    def run_with_defect(self: OnnxModel, *arguments: Any) -> list[Any]:
        outputs = run(self, *arguments)
        if random.random() > SHARE:
            return outputs
        return [np.full_like(one, np.nan) if one.dtype.kind == "f" else one for one in outputs]

    OnnxModel.run = run_with_defect  # type: ignore[method-assign]
    # The short way of tiny requests leads past `run`.
    OnnxModel.prepare = lambda *_arguments: None  # type: ignore[method-assign]


if __name__ == "__main__":
    from modelservice_runtime.__main__ import main

    if sys.argv[1:2] == ["serve"]:
        break_runs()
    sys.exit(main(sys.argv[1:]))
