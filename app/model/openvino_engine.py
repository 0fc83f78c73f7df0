"""The engine OpenVINO. `engine.library` imports this file only if the engine is set to it.

This engine needs no Paddle.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.errors import StartupError, command
from app.model.bundle import INT8, OPENVINO, Bundle
from app.model.network import Floats, Network
from app.model.openvino_core import openvino
from app.settings import Device

# The photos of a smaller batch run one after another. A graph for two photos would make each at
# most a tenth cheaper, but each worker would hold 30 MB more.
_SMALLEST_BATCH = 4


class OpenvinoNetwork(Network):
    """One network that OpenVINO has loaded.

    It is compiled for one photo, and for each size of larger batches on its own. One graph for all
    sizes would take a tenth more time, because OpenVINO could not plan its memory.

    Args:
        bundle: the bundle.
        device: "cpu".
        threads: the number of threads of one inference.
        further: the names of values in the graph that `outputs` returns as well.
        int8: whether the network in 8 bits is loaded instead of the one in float32.

    Raises:
        StartupError: the bundle does not have the network, OpenVINO cannot load it, or `device` is
            a GPU.
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
            raise StartupError("the engines of OpenVINO run on the CPU only, but device is gpu")
        file = bundle.directory / (INT8 if int8 else OPENVINO)
        if not file.is_file():
            made_by = "quantize --photos DIR" if int8 else "openvino"
            words = command("weights", *made_by.split(), bundle.directory)
            raise StartupError(f"{bundle.directory} has no {file.name}: run `{words}` once")
        self._file = file
        self._options = _options(threads)
        self._requests: dict[int, Any] = {}
        try:
            self._core = openvino.Core()
            self._model = self._core.read_model(file)
            self._model.add_outputs(list(further))
            # The classifier's weights, for example, are an output that does not depend on photos.
            outputs = self._model.outputs
            self._of_photos = [value.get_partial_shape()[0].is_dynamic for value in outputs]
        except Exception as error:
            raise StartupError(f"OpenVINO cannot load {file}") from error

    def outputs(self, planes: Floats) -> list[Floats]:
        """Return all outputs for (N, 3, H, W), if the graph has more than one."""
        size = len(planes) if len(planes) >= _SMALLEST_BATCH else 1
        request = self._request(size)
        parts = [_run(request, part) for part in np.split(planes, len(planes) // size)]
        found = zip(self._of_photos, *parts, strict=True)
        return [np.concatenate(values) if joined else values[0] for joined, *values in found]

    def prepare(self, sizes: Sequence[int]) -> None:
        """Compile the network for these batch sizes, so that forks share what takes memory."""
        for size in sizes:
            if size == 1 or size >= _SMALLEST_BATCH:
                self._request(size)

    def release(self) -> None:
        """Free the memory of the values between the layers."""
        for request in self._requests.values():
            request.get_compiled_model().release_memory()

    def _request(self, size: int) -> Any:  # noqa: ANN401  (a class without types)
        if size not in self._requests:
            model = self._model.clone()
            _, *rest = model.input().get_partial_shape()
            model.reshape([size, *rest])
            self._requests[size] = self._compiled(model)
        return self._requests[size]

    def _compiled(self, model: Any) -> Any:  # noqa: ANN401
        try:
            return self._core.compile_model(model, "CPU", self._options).create_infer_request()
        except Exception as error:
            raise StartupError(f"OpenVINO cannot load {self._file}") from error


def _run(request: Any, planes: Floats) -> list[Floats]:  # noqa: ANN401  (a class without types)
    """Return copies of the outputs: the next run of the request overwrites its own."""
    return [value.copy() for value in request.infer([planes], share_inputs=True).to_tuple()]


def _options(threads: int) -> dict[str, object]:
    return {
        # Where a processor has bfloat16, OpenVINO would compute in it by itself.
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # Otherwise each worker would choose the same cores.
        "ENABLE_CPU_PINNING": False,
    }
