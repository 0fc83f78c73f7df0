"""Paddle Inference on one bundle; `engine` loads it where it is asked for, in a worker process.

`predictor.run()` holds Python's GIL for the whole batch, so beside an event loop it would freeze
everything else.
"""

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from app.errors import StartupError
from app.model.bfloat16 import rounded
from app.settings import Device

os.environ.setdefault("GLOG_minloglevel", "1")  # nothing below a warning on stderr

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

    Args:
        bfloat16: compute in bfloat16 where it is quicker; weights and answers stay float32.

    Raises:
        StartupError: Paddle cannot load it, or there is no GPU, or no bfloat16.
    """

    def __init__(
        self, files: Files, device: Device, threads: int, *, bfloat16: bool = False
    ) -> None:
        if bfloat16:
            _require_bfloat16(files, device)
        if device == "gpu":
            require_gpu()
        paddle.set_flags({"FLAGS_eager_delete_tensor_gb": _GARBAGE_GB})
        try:
            with _rounded(files) if bfloat16 else nullcontext(files.parameters) as parameters:
                config = _config(files.graph, parameters, device, threads)
                if bfloat16:
                    config.enable_mkldnn_bfloat16()
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


def _config(graph: Path, parameters: Path, device: Device, threads: int) -> inference.Config:
    config = inference.Config(str(graph), str(parameters))
    config.disable_glog_info()
    if device == "gpu":
        config.enable_use_gpu(256, 0)  # MB of memory to begin with, device
    else:
        config.disable_gpu()
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(threads)
    config.enable_new_ir(graph.suffix == ".json")
    config.enable_new_executor(True)
    config.enable_memory_optim()
    return config


@contextmanager
def _rounded(files: Files) -> Iterator[Path]:
    """Yield a file with the parameters of `files` as bfloat16 wants them."""
    content = files.parameters.read_bytes()
    for weights in paddle.jit.load(str(files.graph.with_suffix(""))).parameters():
        if weights.dtype == paddle.float32 and weights.shape[1:] == [1, 3, 3]:
            filters = weights.numpy()  # stand in the file as they stand in memory
            content = content.replace(filters.tobytes(), rounded(filters).tobytes())
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield Path(file.name)


def _require_bfloat16(files: Files, device: Device) -> None:
    if device != "cpu":
        raise StartupError("the engine paddle-bfloat16 runs on the CPU only here")
    if files.graph.suffix != ".json":
        raise StartupError(f"the engine paddle-bfloat16 needs inference.json, not {files.graph}")
    if not paddle.base.core.supports_bfloat16_fast_performance():
        raise StartupError("the engine is paddle-bfloat16, but this processor has no bfloat16")


def require_gpu() -> None:
    """Raise StartupError where there is no GPU to work on."""
    if not paddle.device.is_compiled_with_cuda():
        raise StartupError("device is gpu, but this PaddlePaddle is built without CUDA")
    if not paddle.device.cuda.device_count():
        raise StartupError("device is gpu, but no GPU is visible here")
