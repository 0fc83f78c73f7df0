"""PaddlePaddle's parameter files (`.pdparams`), read without running any code from them.

The format is a pickle, and a pickle can call any function by its name. The files that `paddle.save`
writes name only the few functions that make numpy arrays, so all other names are refused.
Source: `paddle/framework/io.py` and `io_utils.py` of paddlepaddle 3.3.1.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.float32]]

# Under this key, `paddle.save` writes a table from a layer's keys to its parameters' names.
NAME_TABLE = "StructuredToParameterName@@"


class NotParameters(ValueError):
    """The file does not hold a network's parameters; the message says why in one line."""


def read_pdparams(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays in `path` by the names of their parameters.

    Raises:
        NotParameters: the file is truncated, holds something else than a dict of numeric arrays,
            or names a function that arrays do not need. That function is not called.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        state = _load(file)
    if not isinstance(state, dict):
        raise NotParameters(f"holds a {type(state).__name__}, not a dict of arrays")
    return {name: _array(name, state[name]) for name in state if name != NAME_TABLE}


def _load(file: BinaryIO) -> object:
    try:
        # With this encoding, the unpickler also reads arrays that Python 2 has written.
        return _ArrayUnpickler(file, encoding="latin1").load()
    except OSError:
        raise
    # Damaged bytes can raise almost any exception.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NotParameters(f"not a file of parameters: {reason}") from error


def _array(name: object, value: object) -> npt.NDArray[Any]:
    # Paddle 2.1 and later can write a tensor as a tuple (name, array).
    if isinstance(value, tuple) and len(value) == 2:
        value = value[1]
    if not isinstance(name, str):
        raise NotParameters(f"{name!r} is not the name of a parameter")
    if not isinstance(value, np.ndarray):
        raise NotParameters(f"{name!r} is a {type(value).__name__}, not an array")
    if value.dtype.kind not in "biufc":
        raise NotParameters(f"{name!r} holds {value.dtype}, not numbers")
    return value


def _latin1(text: str, encoding: str) -> bytes:
    """Return the bytes that pickle's protocol 2 writes as a latin1 text.

    The pickle calls `_codecs.encode`. This function replaces it, because the real one accepts any
    codec.

    Raises:
        UnpicklingError: the codec is another one.
    """
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"refused the codec {encoding}")
    return text.encode("latin1")


# The function is taken from an array, because its module depends on numpy's version.
_reconstruct = np.empty(0).__reduce__()[0]
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
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  (as in the base class)
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"refused {module}.{name}, which arrays do not need")
        return _ALLOWED[module, name]
