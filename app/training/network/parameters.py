"""The parameters in Paddle's file `inference.pdiparams`, read without Paddle."""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.model.wire import parsed

# The version of the format and the number of levels of detail; then, for the tensor itself, a
# version and the length of its description.
_HEAD = struct.Struct("<IQIi")
_TYPE, _SHAPE = 1, 2
# The numbers of the types in `framework.proto`.
_TYPES = {0: np.bool_, 2: np.int32, 3: np.int64, 4: np.float16, 5: np.float32, 6: np.float64}


def read_parameters(file: Path) -> list[npt.NDArray[np.generic]]:
    """Return the parameters in the order of the file, which is that of their names.

    Raises:
        ValueError: the file does not have the known form.
    """
    try:
        return list(_parameters(file.read_bytes()))
    except (struct.error, KeyError, IndexError) as error:
        raise ValueError(f"{file} has an unknown form") from error


def _parameters(content: bytes) -> Iterator[npt.NDArray[np.generic]]:
    at = 0
    while at < len(content):
        _, levels, _, size = _HEAD.unpack_from(content, at)
        if levels:
            raise ValueError("a tensor has levels of detail")
        at += _HEAD.size
        description = parsed(content[at : at + size])
        at += size
        kind = np.dtype(_TYPES[int(description[_TYPE][0])])
        shape = [int(length) for length in description.get(_SHAPE, ())]
        count = int(np.prod(shape))
        yield np.frombuffer(content, kind, count, at).reshape(shape)
        at += count * kind.itemsize
