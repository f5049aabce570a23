"""Reads NumPy's .npz, and the idx files of MNIST and its kin."""

import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.data.table import Table, check_rows
from modelservice_pipeline.errors import PipelineError

Array = np.ndarray[Any, Any]

_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""By the third byte of the file (yann.lecun.com/exdb/mnist)."""


def read_npz(path: Path, content: bytes, sha256: str) -> Table:
    """Read arrays whose first dimension is the rows; nothing in it is unpickled.

    Single values are left out: they are constants of a model, which whoever asks it reads.
    """
    try:
        arrays = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise PipelineError(f"{path} is one array; write arrays by name with numpy.savez")
        with arrays:
            read = {name: _read_array(path, arrays, name) for name in arrays.files}
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError, EOFError):
        raise PipelineError(f"{path} is no .npz file; write it with numpy.savez") from None
    columns = {name: array for name, array in read.items() if array.ndim}
    if read and not columns:
        raise PipelineError(f"{path} has single values alone; the first dimension of an array is its rows")
    check_rows(path, columns)
    return Table(path, columns, None, sha256)


def _read_array(path: Path, arrays: Any, name: str) -> Array:
    try:
        array: Array = arrays[name]
    except ValueError as error:
        if "pickle" not in str(error):
            raise
        raise PipelineError(
            f"{path}, array {name!r}: is pickled, and a pickle can run any program; texts are "
            "array.astype(str)"
        ) from None
    if array.dtype.kind == "U":
        return array.astype(object)
    if array.dtype.kind not in "biuf":
        raise PipelineError(f"{path}, array {name!r}: has the type {array.dtype}, expected numbers or texts")
    return array


def read_idx(path: Path, content: bytes) -> Array:
    """Read one array: two zero bytes, its type, its number of dimensions, their sizes, its values."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES or content[3] == 0:
        raise PipelineError(f"{path} is no idx file: it does not begin as one")
    dtype, dimensions = np.dtype(_IDX_TYPES[content[2]]), content[3]
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise PipelineError(f"{path} ends within its head")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise PipelineError(f"{path} has {len(content)} bytes, and its head says {expected}: it is not whole")
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))
