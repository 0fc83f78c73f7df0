"""ONNX Runtime on one bundle; `engine` loads it where it is asked for. It needs no Paddle."""

import numpy as np
import numpy.typing as npt
import onnxruntime

from app.errors import StartupError, command
from app.model.bundle import ONNX, Bundle
from app.settings import Device


class OnnxNetwork:
    """One loaded network.

    Raises:
        StartupError: the bundle has no such file, ONNX Runtime cannot load it, or a GPU is wanted.
    """

    def __init__(self, bundle: Bundle, device: Device, threads: int) -> None:
        if device != "cpu":
            raise StartupError("the engine onnxruntime runs on the CPU only here")
        file = bundle.directory / ONNX
        if not file.is_file():
            raise StartupError(
                f"{bundle.directory} has no {ONNX}: "
                f"run `{command('weights', 'onnx', bundle.directory)}` once"
            )
        try:
            self._session = onnxruntime.InferenceSession(
                file, _options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise StartupError(f"ONNX Runtime cannot load {file}") from error
        self._input = self._session.get_inputs()[0].name

    def __call__(self, planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Map (N, 3, H, W) to what the network gives, (N, classes) where it is a classifier."""
        return np.asarray(self._session.run(None, {self._input: planes})[0])


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait sleep; spinning would take the cores from decoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A plan of the memory for each batch size: no quicker, but 60 MB more.
    options.enable_mem_pattern = False
    options.log_severity_level = 4  # whatever is fatal is raised too
    return options
