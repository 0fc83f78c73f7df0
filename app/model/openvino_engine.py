"""The engine OpenVINO. `engine.library` imports this file only if the engine is set to it.

This engine needs no Paddle.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import openvino

from app.errors import StartupError, command
from app.model.bundle import OPENVINO, Bundle
from app.settings import Device


class OpenvinoNetwork:
    """One network that OpenVINO has loaded.

    Args:
        bundle: the bundle.
        device: "cpu".
        threads: the number of threads of one inference.
        further: the names of values in the graph that `outputs` returns as well.

    Raises:
        StartupError: the bundle has no `inference.xml`, OpenVINO cannot load it, or `device` is a
            GPU.
    """

    def __init__(
        self, bundle: Bundle, device: Device, threads: int, further: Sequence[str] = ()
    ) -> None:
        if device != "cpu":
            raise StartupError("the engine openvino runs on the CPU only, but device is gpu")
        file = bundle.directory / OPENVINO
        if not file.is_file():
            raise StartupError(
                f"{bundle.directory} has no {OPENVINO}: "
                f"run `{command('weights', 'openvino', bundle.directory)}` once"
            )
        try:
            core = openvino.Core()
            model = core.read_model(file)
            model.add_outputs(list(further))
            compiled = core.compile_model(model, "CPU", _options(threads))
            self._request = compiled.create_infer_request()
        except Exception as error:
            raise StartupError(f"OpenVINO cannot load {file}") from error

    def __call__(self, planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the network's output for (N, 3, H, W); (N, classes) if it is a classifier."""
        return self.outputs(planes)[0]

    def outputs(self, planes: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """Return all outputs for (N, 3, H, W), if the graph has more than one."""
        return list(self._request.infer([planes], share_inputs=True).to_tuple())


def _options(threads: int) -> dict[str, object]:
    return {
        # Where a processor has bfloat16, OpenVINO would compute in it by itself.
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # Each worker would choose the same cores.
        "ENABLE_CPU_PINNING": False,
    }
