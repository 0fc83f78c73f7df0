"""The engine Paddle Inference. `engine.library` imports this file only if the engine is set to it.

It runs in a worker process because `predictor.run()` holds Python's GIL for the whole batch. In the
server's process it would stop the event loop, and with it everything else.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from app.errors import StartupError
from app.model.bfloat16 import rounded
from app.model.network import Floats, Network
from app.model.paddle_core import import_paddle, load_core
from app.model.paddle_graph import with_outputs
from app.settings import Device

# Paddle's C++ code writes warnings and errors to stderr, but no information below that level.
os.environ.setdefault("GLOG_minloglevel", "1")

_core = load_core()

# Paddle hands each tensor that a batch no longer needs to a thread that frees it, and waking that
# thread for each tensor costs up to 1.5 ms of CPU a batch. Therefore Paddle waits until it can free
# this many GB. With 0.03, the time was the same, but a worker held 50 to 80 MB more.
_GARBAGE_GB = 0.005


class NetworkFiles(Protocol):
    """The files of a network: those of a bundle, or temporary ones from training."""

    @property
    def directory(self) -> Path: ...  # noqa: D102
    @property
    def graph(self) -> Path: ...  # noqa: D102
    @property
    def parameters(self) -> Path: ...  # noqa: D102


class PaddleNetwork(Network):
    """One network that Paddle Inference has loaded.

    Args:
        files: the network's files.
        device: "cpu" or "gpu".
        threads: the number of threads of one inference on a CPU.
        further: the names of values in the graph that `outputs` returns as well.
        bfloat16: whether Paddle computes in bfloat16 where that is quicker; weights and answers
            stay float32.

    Raises:
        StartupError: Paddle cannot load the network, or the machine has no GPU or no bfloat16.
    """

    def __init__(
        self,
        files: NetworkFiles,
        device: Device,
        threads: int,
        further: Sequence[str] = (),
        *,
        bfloat16: bool = False,
    ) -> None:
        if bfloat16:
            _require_bfloat16(files, device)
        if device == "gpu":
            require_gpu()
        _core.globals()["FLAGS_eager_delete_tensor_gb"] = _GARBAGE_GB
        try:
            with (
                _rounded(files) if bfloat16 else nullcontext(files.parameters) as parameters,
                _with_outputs(files.graph, further)
                if further
                else nullcontext(files.graph) as graph,
            ):
                config = _core.AnalysisConfig(str(graph), str(parameters))
                _configure(config, device, threads, files.graph.suffix == ".json")
                if bfloat16:
                    config.enable_mkldnn_bfloat16()
                self._predictor = _core.create_predictor(config)
        except Exception as error:
            raise StartupError(f"PaddlePaddle cannot load {files.directory}") from error
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        names = self._predictor.get_output_names()
        self._outputs = [self._predictor.get_output_handle(name) for name in names]

    def __call__(self, planes: Floats) -> Floats:
        """Return the network's output for (N, 3, H, W); (N, classes) if it is a classifier."""
        self._run(planes)
        return np.asarray(self._outputs[0].copy_to_cpu())

    def outputs(self, planes: Floats) -> list[Floats]:
        """Return all outputs for (N, 3, H, W), if the graph has more than one."""
        self._run(planes)
        return [np.asarray(output.copy_to_cpu()) for output in self._outputs]

    def _run(self, planes: Floats) -> None:
        # `copy_from_cpu` is the same with a check, and comes with all of Paddle.
        self._input._copy_from_cpu_bind(planes)  # noqa: SLF001
        self._predictor.run()


def _configure(config: Any, device: Device, threads: int, new_ir: bool) -> None:  # noqa: ANN401
    config.disable_glog_info()
    if device == "gpu":
        # Paddle first reserves 256 MB on GPU 0.
        config.enable_use_gpu(256, 0)
    else:
        config.disable_gpu()
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(threads)
    config.enable_new_ir(new_ir)
    config.enable_new_executor(True)
    config.enable_memory_optim()


@contextmanager
def _with_outputs(graph: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yield a temporary graph file with further outputs."""
    # Paddle tells the form of a graph by the suffix of its file.
    with tempfile.NamedTemporaryFile(suffix=graph.suffix) as file:
        file.write(with_outputs(graph, names))
        file.flush()
        yield Path(file.name)


@contextmanager
def _rounded(files: NetworkFiles) -> Iterator[Path]:
    """Yield a temporary file with the parameters of `files` rounded for bfloat16."""
    paddle = import_paddle()
    content = files.parameters.read_bytes()
    for weights in paddle.jit.load(str(files.graph.with_suffix(""))).parameters():
        if weights.dtype == paddle.float32 and weights.shape[1:] == [1, 3, 3]:
            # The file holds the weights' bytes as they are in memory.
            filters = weights.numpy()
            content = content.replace(filters.tobytes(), rounded(filters).tobytes())
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield Path(file.name)


def _require_bfloat16(files: NetworkFiles, device: Device) -> None:
    if device != "cpu":
        raise StartupError("the engine paddle-bfloat16 runs on the CPU only, but device is gpu")
    if files.graph.suffix != ".json":
        raise StartupError(f"the engine paddle-bfloat16 needs inference.json, not {files.graph}")
    if not _core.supports_bfloat16_fast_performance():
        raise StartupError("the engine is paddle-bfloat16, but this processor has no bfloat16")


def require_gpu() -> None:
    """Check that Paddle can use a GPU.

    Raises:
        StartupError: PaddlePaddle is built without CUDA, or the machine has no visible GPU.
    """
    paddle = import_paddle()
    if not paddle.device.is_compiled_with_cuda():
        raise StartupError("device is gpu, but this PaddlePaddle is built without CUDA")
    if not paddle.device.cuda.device_count():
        raise StartupError("device is gpu, but no GPU is visible here")
