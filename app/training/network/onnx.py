"""An ONNX file added to a bundle, so that ONNX Runtime can run its network."""

from pathlib import Path

from app.errors import StartupError
from app.model.bundle import ONNX, Bundle
from app.training.network.converted import add_files

_OPSET = 17


def add_onnx(directory: Path) -> Path:
    """Convert the network of the bundle in `directory` to ONNX and add the file to the bundle.

    Returns:
        The path of the ONNX file.

    Raises:
        BundleError, StartupError: see `add_files`; or paddle2onnx is not installed.
    """
    return add_files(directory, [ONNX], "onnxruntime", _convert)


def _convert(bundle: Bundle, file: Path) -> None:
    try:
        import paddle2onnx  # noqa: PLC0415  (this package is optional)
    except ImportError as error:
        raise StartupError(
            "paddle2onnx is not installed: run `make .venv/onnx`, on Python 3.11 or 3.12"
        ) from error
    try:
        paddle2onnx.export(
            str(bundle.graph),
            str(bundle.parameters),
            str(file),
            opset_version=_OPSET,
            # ONNX Runtime optimizes the network itself when it loads the file.
            optimize_tool="None",
        )
    except Exception as error:
        raise StartupError(f"paddle2onnx cannot convert {bundle.directory}") from error
