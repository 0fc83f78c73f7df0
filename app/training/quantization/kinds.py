"""The two kinds of networks in 8 bits, each for the library that runs it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.errors import StartupError
from app.model.bundle import INT8, INT8_WEIGHTS, ONNX, ONNX_INT8, OPENVINO
from app.settings import EngineName, Int8Engine
from app.training.network.onnx import add_onnx
from app.training.network.openvino import add_openvino

Planes = list[npt.NDArray[np.float32]]


class Kind(NamedTuple):
    """How a network in 8 bits is made for a library.

    Attributes:
        method: what a bundle records about it.
        float32: the engine that runs the network in float32.
        source: the file of that network.
        add_source: adds that file to a bundle.
        files: the files of the network in 8 bits.
        write: makes them from the source and photos, each (1, 3, H, W); the last argument names
            the layers that stay in float32.
    """

    method: str
    float32: EngineName
    source: str
    add_source: Callable[[Path], Path]
    files: Sequence[str]
    write: Callable[[Path, Path, Planes, Sequence[int]], None]


def _write_openvino(source: Path, file: Path, photos: Planes, exact: Sequence[int]) -> None:
    # The package is optional.
    from app.model.openvino_core import openvino  # noqa: PLC0415
    from app.training.quantization.openvino_network import quantized  # noqa: PLC0415

    made = quantized(openvino.Core().read_model(source), photos, exact)
    openvino.save_model(made, file, compress_to_fp16=False)


def _write_onnx(source: Path, file: Path, photos: Planes, exact: Sequence[int]) -> None:
    try:
        # The packages are optional.
        from app.training.quantization.onnx_network import quantized  # noqa: PLC0415
    except ImportError as error:
        raise StartupError(
            f"8 bits for ONNX Runtime need `make .venv/onnx`, on Python 3.11 or 3.12: {error}"
        ) from error

    file.write_bytes(quantized(source, photos, exact).SerializeToString())


KINDS: Mapping[Int8Engine, Kind] = {
    "openvino-int8": Kind(
        "GPTQ with corrected biases; inputs and weights of layers in 8 bits, additions in float32",
        "openvino",
        OPENVINO,
        add_openvino,
        (INT8, INT8_WEIGHTS),
        _write_openvino,
    ),
    "onnxruntime-int8": Kind(
        "GPTQ with corrected biases; inputs, weights and outputs of convolutions in 8 bits, "
        "additions and classifier in float32",
        "onnxruntime",
        ONNX,
        add_onnx,
        (ONNX_INT8,),
        _write_onnx,
    ),
}
