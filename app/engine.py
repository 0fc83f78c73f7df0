"""The predictor: Paddle Inference on one bundle. Lives in a worker process, never in the server's.

`predictor.run()` holds Python's GIL for the whole batch, so beside an event loop it would freeze
everything else.
"""

import warnings

import numpy as np
import numpy.typing as npt

from app import golden
from app.bundle import Bundle
from app.errors import InferenceFailed, StartupError
from app.settings import Device

with warnings.catch_warnings():  # Paddle looks for a compiler cache that nothing here needs
    warnings.simplefilter("ignore")
    from paddle import device as devices
    from paddle import inference

Scores = npt.NDArray[np.float32]


class Engine:
    """One loaded model: (N, H, W, 3) uint8 -> (N, classes) float32 probabilities.

    Raises:
        StartupError: the bundle and what the network really does disagree, or there is no GPU.
    """

    def __init__(self, bundle: Bundle, device: Device = "cpu", threads: int = 1) -> None:
        self._bundle = bundle
        self._predictor = _predictor(bundle, device, threads)
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])
        spec = bundle.preprocessing
        # (x * scale - mean) / std, with one multiplication and one addition a pixel
        self._factor = (spec.scale / np.array(spec.std, np.float64)).astype(np.float32)
        self._offset = (-np.array(spec.mean) / np.array(spec.std)).astype(np.float32)
        self._logits = False
        self.classes = self._check()

    def infer(self, images: npt.NDArray[np.uint8]) -> Scores:
        """Classify a batch.

        Args:
            images: (N, H, W, 3) uint8, RGB, of the bundle's input size.

        Returns:
            (N, classes) float32; each row sums to 1.

        Raises:
            InferenceFailed: the network gave something that is no probability.
        """
        self._input.copy_from_cpu(self._normalized(images))
        self._predictor.run()
        scores = self._output.copy_to_cpu()
        if self._logits:
            scores = _softmax(scores)
        if scores.shape[0] != len(images) or not np.isfinite(scores).all():
            raise InferenceFailed
        return np.asarray(scores, np.float32)

    def _normalized(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        planes = images.transpose(0, 3, 1, 2)  # (N, 3, H, W)
        x = np.empty(planes.shape, np.float32)
        np.multiply(planes, self._factor[:, None, None], out=x)
        x += self._offset[:, None, None]
        return x

    def _check(self) -> int:
        """Hold the network against its bundle on the golden picture; return the class count."""
        picture = golden.picture(*self._bundle.preprocessing.crop)[np.newaxis]
        try:
            scores = self.infer(picture)
        except Exception as error:
            raise StartupError(f"the network of {self._bundle.directory} does not run") from error
        if scores.ndim != 2:
            raise StartupError(f"the network's output has shape {scores.shape}, not (N, classes)")
        labels = len(self._bundle.labels)
        if labels and labels != scores.shape[1]:
            raise StartupError(f"{labels} labels, but the network has {scores.shape[1]} classes")
        # PaddleClas exports with or without the softmax, and no file says which.
        self._logits = bool((scores < 0).any() or abs(float(scores.sum()) - 1) > 1e-2)
        if self._logits:
            scores = _softmax(scores)
        if self._bundle.golden and not self._bundle.golden.agrees(scores[0]):
            raise StartupError(f"{self._bundle.directory} does not give its own golden answers")
        return int(scores.shape[1])


def _predictor(bundle: Bundle, device: Device, threads: int) -> inference.Predictor:
    config = inference.Config(str(bundle.graph), str(bundle.parameters))
    config.disable_glog_info()
    if device == "gpu":
        _require_gpu()
        config.enable_use_gpu(256, 0)  # MB of memory to begin with, device
    else:
        config.disable_gpu()
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(threads)
    config.enable_new_ir(bundle.graph.suffix == ".json")
    config.enable_new_executor(True)
    config.enable_memory_optim()
    try:
        return inference.create_predictor(config)
    except Exception as error:
        raise StartupError(f"PaddlePaddle cannot load {bundle.directory}") from error


def _require_gpu() -> None:
    if not devices.is_compiled_with_cuda():
        raise StartupError("device is gpu, but this PaddlePaddle is built without CUDA")
    if not devices.cuda.device_count():
        raise StartupError("device is gpu, but no GPU is visible here")


def _softmax(logits: Scores) -> Scores:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)
