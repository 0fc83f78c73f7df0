"""Paddle Inference on one bundle; `engine` loads it where it is asked for, in a worker process.

`predictor.run()` holds Python's GIL for the whole batch, so beside an event loop it would freeze
everything else.
"""

import warnings
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from app.errors import StartupError
from app.settings import Device

with warnings.catch_warnings():  # Paddle looks for a compiler cache that nothing here needs
    warnings.simplefilter("ignore")
    import paddle
    from paddle import inference

# Paddle hands each tensor that a batch needs no more to a thread that frees it, and waking that
# thread costs 1.5 ms of CPU a batch. Let it wait until this much can be freed.
_GARBAGE_GB = 0.03


class Files(Protocol):
    """Where a network lies: a bundle, or what training has saved for a while."""

    @property
    def directory(self) -> Path: ...  # noqa: D102
    @property
    def graph(self) -> Path: ...  # noqa: D102
    @property
    def parameters(self) -> Path: ...  # noqa: D102


class PaddleNetwork:
    """One loaded network.

    Raises:
        StartupError: Paddle cannot load it, or there is no GPU.
    """

    def __init__(self, files: Files, device: Device, threads: int) -> None:
        paddle.set_flags({"FLAGS_eager_delete_tensor_gb": _GARBAGE_GB})
        config = _config(files, device, threads)
        try:
            self._predictor = inference.create_predictor(config)
        except Exception as error:
            raise StartupError(f"PaddlePaddle cannot load {files.directory}") from error
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def __call__(self, planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Map (N, 3, H, W) to what the network gives, (N, classes) where it is a classifier."""
        self._input.copy_from_cpu(planes)
        self._predictor.run()
        return np.asarray(self._output.copy_to_cpu())


def _config(files: Files, device: Device, threads: int) -> inference.Config:
    config = inference.Config(str(files.graph), str(files.parameters))
    config.disable_glog_info()
    if device == "gpu":
        require_gpu()
        config.enable_use_gpu(256, 0)  # MB of memory to begin with, device
    else:
        config.disable_gpu()
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(threads)
    config.enable_new_ir(files.graph.suffix == ".json")
    config.enable_new_executor(True)
    config.enable_memory_optim()
    return config


def require_gpu() -> None:
    """Raise StartupError where there is no GPU to work on."""
    if not paddle.device.is_compiled_with_cuda():
        raise StartupError("device is gpu, but this PaddlePaddle is built without CUDA")
    if not paddle.device.cuda.device_count():
        raise StartupError("device is gpu, but no GPU is visible here")
