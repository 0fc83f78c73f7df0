"""PaddlePaddle's `.pdparams` read without running it.

The format is a pickle, and a pickle may call anything it can name. What `paddle.save` writes names
only the few makers of numpy arrays, so nothing else is let in.
Source: `paddle/framework/io.py` and `io_utils.py` of paddlepaddle 3.3.1.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

NAME_TABLE = "StructuredToParameterName@@"


class NotParameters(ValueError):
    """The file does not hold a network's parameters: one line that says why."""


def read_pdparams(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays in `path` by the names of their parameters.

    Raises:
        NotParameters: truncated, not a dict of numeric arrays, or it names something that arrays
            do not need; nothing of it has run then.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        state = _load(file)
    if not isinstance(state, dict):
        raise NotParameters(f"holds a {type(state).__name__}, not a dict of arrays")
    return {name: _array(name, state[name]) for name in state if name != NAME_TABLE}


def _load(file: BinaryIO) -> object:
    try:
        return _ArrayUnpickler(file, encoding="latin1").load()  # Python 2's bytes as well
    except OSError:
        raise
    except Exception as error:  # damaged bytes raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NotParameters(f"not a file of parameters: {reason}") from error


def _array(name: object, value: object) -> npt.NDArray[Any]:
    if isinstance(value, tuple) and len(value) == 2:
        value = value[1]  # (name, array): how paddle 2.1 and later write a lone tensor
    if not isinstance(name, str):
        raise NotParameters(f"{name!r} is not the name of a parameter")
    if not isinstance(value, np.ndarray):
        raise NotParameters(f"{name!r} is a {type(value).__name__}, not an array")
    if value.dtype.kind not in "biufc":
        raise NotParameters(f"{name!r} holds {value.dtype}, not numbers")
    return value


def _latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 spells bytes. The real function would look up any codec."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"refused the codec {encoding}")
    return text.encode("latin1")


_reconstruct = np.empty(0).__reduce__()[0]  # its own spelling depends on numpy's version
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "tuple"): tuple,
    ("__builtin__", "tuple"): tuple,
    ("_codecs", "encode"): _latin1,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - the base class's type
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"refused {module}.{name}, which arrays do not need")
        return _ALLOWED[module, name]


Arrays = dict[str, npt.NDArray[np.float32]]
