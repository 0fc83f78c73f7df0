"""The engine ONNX Runtime. `engine.library` imports this file only if the engine is set to it.

This engine needs no Paddle.
"""

from collections.abc import Sequence

import numpy as np
import onnxruntime

from app.errors import StartupError, command
from app.model.bundle import ONNX, ONNX_INT8, Bundle
from app.model.network import Floats, Network
from app.model.onnx_graph import with_outputs
from app.settings import Device


class OnnxNetwork(Network):
    """One network that ONNX Runtime has loaded.

    Args:
        bundle: the bundle.
        device: "cpu".
        threads: the number of threads of one inference.
        further: the names of values in the graph that `outputs` returns as well.
        int8: whether the network in 8 bits is loaded instead of the one in float32.

    Raises:
        StartupError: the bundle does not have the network, ONNX Runtime cannot load it, or `device`
            is a GPU.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: Device,
        threads: int,
        further: Sequence[str] = (),
        *,
        int8: bool = False,
    ) -> None:
        if device != "cpu":
            raise StartupError("the engines of ONNX Runtime run on the CPU only, but device is gpu")
        file = bundle.directory / (ONNX_INT8 if int8 else ONNX)
        if not file.is_file():
            made_by = "quantize --engine onnxruntime-int8 --photos DIR" if int8 else "onnx"
            words = command("weights", *made_by.split(), bundle.directory)
            raise StartupError(f"{bundle.directory} has no {file.name}: run `{words}` once")
        try:
            self._session = onnxruntime.InferenceSession(
                with_outputs(file, further) if further else file,
                _options(threads),
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:
            raise StartupError(f"ONNX Runtime cannot load {file}") from error
        self._input = self._session.get_inputs()[0].name

    def outputs(self, planes: Floats) -> list[Floats]:
        """Return all outputs for (N, 3, H, W), if the graph has more than one."""
        return [np.asarray(output) for output in self._session.run(None, {self._input: planes})]

    def release(self) -> None:
        """Free the memory of the values between the layers, which a run keeps for the next one.

        ONNX Runtime does this only at the end of a run, so this runs a photo without content.
        """
        shrinking = onnxruntime.RunOptions()
        shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        _, *shape = self._session.get_inputs()[0].shape
        nothing = np.zeros((1, *shape), np.float32)
        self._session.run(None, {self._input: nothing}, shrinking)


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Waiting threads sleep, because spinning threads would take the cores from decoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A memory plan for each batch size would take 60 MB more and save no time.
    options.enable_mem_pattern = False
    # Level 4 logs only fatal errors, and ONNX Runtime raises those as exceptions, too.
    options.log_severity_level = 4
    return options
