"""PaddlePaddle's `.pdparams` read without running it.

The format is a pickle, and a pickle may call anything it can name. What `paddle.save` writes names
only the few makers of numpy arrays, so nothing else is let in.
Source: `paddle/framework/io.py` and `io_utils.py` of paddlepaddle 3.3.1.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

NAME_TABLE = "StructuredToParameterName@@"


class NotParameters(ValueError):
    """The file does not hold a network's parameters: one line that says why."""


def read_pdparams(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays in `path` by the names of their parameters.

    Raises:
        NotParameters: unreadable, truncated, not a dict of numeric arrays, or it names something
            that arrays do not need; nothing of it has run then.
    """
    try:
        with path.open("rb") as file:
            state = _ArrayUnpickler(file, encoding="latin1").load()  # Python 2's bytes as well
    except OSError as error:
        raise NotParameters(f"{path}: {error.strerror}") from error
    except Exception as error:  # damaged bytes raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NotParameters(f"{path}: not a file of parameters: {reason}") from error
    if not isinstance(state, dict):
        raise NotParameters(f"{path}: holds a {type(state).__name__}, not a dict of arrays")
    return {name: _array(path, name, state[name]) for name in state if name != NAME_TABLE}


def _array(path: Path, name: object, value: object) -> npt.NDArray[Any]:
    match name, value:
        case str(), (str(), np.ndarray() as array):  # how paddle 2.1 and later write a lone tensor
            pass
        case str(), np.ndarray() as array:
            pass
        case _:
            raise NotParameters(f"{path}: {name!r} is a {type(value).__name__}, not an array")
    if array.dtype.kind not in "biufc":
        raise NotParameters(f"{path}: {name!r} holds {array.dtype}, not numbers")
    return array


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
