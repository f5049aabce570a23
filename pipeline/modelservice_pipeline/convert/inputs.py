"""What a user says of a model's inputs: `ids=int64[batch,length]<1000`."""

import re
from typing import Any

from modelservice_pipeline.errors import PipelineError

_SPEC = re.compile(r"([^=\[\]]+)=([a-z]+[0-9]*)\[([^\[\]]*)\](?:<([0-9]+))?")
_DTYPES = ("bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8")


def parse_input(text: str) -> dict[str, Any]:
    """Parse the name, type and shape of an input: numbers are fixed sizes, names are sizes that vary.

    Behind `<` stands what made-up whole numbers stay below. Raises PipelineError.
    """
    found = _SPEC.fullmatch(text)
    if found is None or found[2] not in _DTYPES:
        raise PipelineError(
            f"--input {text!r} is not NAME=TYPE[SIZE,...], such as ids=int64[batch,length]<1000; "
            f"types are {', '.join(_DTYPES)}"
        )
    sizes: list[int | str] = []
    for part in filter(None, (size.strip() for size in found[3].split(","))):
        if not (part.isdigit() and int(part) > 0) and not part.isidentifier():
            raise PipelineError(
                f"--input {text!r}: {part!r} is neither a size nor a name for one that varies"
            )
        sizes.append(int(part) if part.isdigit() else part)
    return {"name": found[1], "dtype": found[2], "shape": sizes, "below": int(found[4] or 2)}
