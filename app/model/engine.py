"""The engine: one loaded model, with the same interface for each library.

It lives in a worker process, never in the server's process. `paddle_engine`, `onnx_engine` and
`openvino_engine` only run the network. For all of them, this file makes the network's input from
photos and checks its output.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from app.errors import InferenceFailed, NoFeatures, StartupError
from app.model import golden
from app.model.bundle import INT8_RECORDS, Bundle
from app.model.endings import read_ending
from app.model.golden import Golden
from app.model.network import Floats, Network
from app.model.unfamiliarity import UNFAMILIAR, distances, read_centres
from app.settings import Device, EngineName

Scores = npt.NDArray[np.float32]

_ROUNDING = 1e-3
_NO_POST_PROCESS = (
    "the network's outputs are no probabilities, and inference.yml names no PostProcess. A softmax "
    "makes probabilities of them, which is wrong unless each photo has exactly one class. Name "
    "what is right in inference.yml: PostProcess.Topk or PostProcess.MultiLabelThreshOutput"
)


class Answers(NamedTuple):
    """A network's answers to N photos.

    Attributes:
        scores: (N, classes), from 0 to 1.
        unfamiliarity: (N,), from 0 to 1; None if the bundle cannot tell.
    """

    scores: Scores
    unfamiliarity: Floats | None


class Engine:
    """One loaded model: (N, H, W, 3) uint8 -> (N, classes) float32 probabilities.

    PaddleClas exports networks with or without the softmax, and no file says which. So a bundle
    whose classes exclude each other gets a softmax if its outputs are no probabilities. Outputs
    that are compared with thresholds are taken as they are.

    Attributes:
        classes: the number of classes.
        warning: what is doubtful about the bundle, for the user; otherwise empty.

    Args:
        bundle: the model.
        device, threads, engine: how its network runs.
        network: the bundle's network if `load_network` has loaded it already.

    Raises:
        StartupError: the library is not installed or cannot load the network, there is no GPU, or
            the network does not do what its bundle says.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: Device = "cpu",
        threads: int = 1,
        engine: EngineName = "paddle",
        network: Network | None = None,
    ) -> None:
        self._bundle = bundle
        self._engine = engine
        self._network = network or load_network(bundle, device, threads, engine)
        self._centres = read_centres(bundle.directory) if bundle.limit else None
        self._logits = False
        self.warning = ""
        self.classes = self._check()

    def infer(self, images: npt.NDArray[np.uint8]) -> Scores:
        """Return the scores of `answer`."""
        return self.answer(images).scores

    def answer(self, images: npt.NDArray[np.uint8]) -> Answers:
        """Classify a batch.

        Args:
            images: (N, H, W, 3) uint8, RGB, of the bundle's input size.

        Returns:
            The scores, (N, classes) float32, from 0 to 1; those of classes that exclude each other
            add up to 1. And the unfamiliarity, (N,) float32.

        Raises:
            InferenceFailed: the output has NaN or infinite values, or not one row for each image,
                or is compared with a threshold and is no probability.
        """
        scores, vectors = self._raw(images)
        if self._logits:
            scores = softmax(scores)
        elif self._thresholded and not _are_shares(scores):
            raise InferenceFailed
        return Answers(np.asarray(scores, np.float32), self._unfamiliarity(vectors, scores))

    def release(self) -> None:
        """Free memory that the network does not need between two batches."""
        self._network.release()

    @property
    def _thresholded(self) -> bool:
        return self._bundle.post_process.threshold is not None

    def _raw(self, images: npt.NDArray[np.uint8]) -> tuple[Scores, Floats | None]:
        """Return the network's output for a batch, and the vectors (N, K) before its classifier.

        The vectors are None if the bundle cannot tell what is unfamiliar.

        Raises:
            InferenceFailed: the output has NaN or infinite values, or not one row for each image.
        """
        planes, vectors = self._bundle.preprocessing.normalized(images), None
        if self._centres is None:
            scores = self._network(planes)
        else:
            scores, vectors = self._network.outputs(planes)
            vectors = np.asarray(vectors, np.float32).reshape(len(vectors), -1)
        if scores.shape[0] != len(images) or not np.isfinite(scores).all():
            raise InferenceFailed
        return scores, vectors

    def _unfamiliarity(self, vectors: Floats | None, scores: Scores) -> Floats | None:
        if vectors is None or self._centres is None or self._bundle.limit is None:
            return None
        return self._bundle.limit.unfamiliarity(distances(self._centres, vectors, scores))

    @property
    def _golden(self) -> Golden | None:
        if self._engine in INT8_RECORDS:
            return self._bundle.int8_golden.get(self._engine)
        return self._bundle.golden

    def _check(self) -> int:
        """Check the network's answer to the golden picture; return its number of classes."""
        picture = golden.drawn_picture(*self._bundle.preprocessing.crop)[np.newaxis]
        try:
            scores, vectors = self._raw(picture)
        except Exception as error:
            raise StartupError(f"the network of {self._bundle.directory} does not run") from error
        if scores.ndim != 2:
            raise StartupError(f"the network's output has shape {scores.shape}, not (N, classes)")
        self._check_classes(scores.shape[1])
        self._check_values(scores)
        if self._logits:
            scores = softmax(scores)
        answers = self._golden
        if answers and not answers.agrees(scores[0], self._engine):
            raise StartupError(
                f"the network of {self._bundle.directory} does not give the bundle's golden answers"
            )
        self._check_unfamiliarity(vectors, scores)
        return int(scores.shape[1])

    def _check_unfamiliarity(self, vectors: Floats | None, scores: Scores) -> None:
        """Check that the means of the classes fit the network, and the golden answer of them."""
        limit, centres = self._bundle.limit, self._centres
        if vectors is None or centres is None or limit is None:
            return
        if centres.shape != (scores.shape[1], vectors.shape[1]):
            raise StartupError(f"{UNFAMILIAR} of {self._bundle.directory} is not of its network")
        far = limit.unfamiliarity(distances(centres, vectors, scores))
        if not limit.agrees(float(far[0]), self._engine):
            raise StartupError(
                f"the network of {self._bundle.directory} does not give the bundle's golden "
                "answer to what is unfamiliar"
            )

    def _check_classes(self, classes: int) -> None:
        """Check that the bundle names as many classes as the network has, and no other ones."""
        labels, post_process = len(self._bundle.labels), self._bundle.post_process
        if labels and labels != classes:
            raise StartupError(f"{labels} labels, but the network has {classes} classes")
        if post_process.highest_class >= classes:
            raise StartupError(
                f"{post_process.operation} names class {post_process.highest_class}, but the "
                f"network has {classes} classes"
            )
        thresholds = len(post_process.own_thresholds)
        if post_process.listed and thresholds < classes:
            raise StartupError(f"{thresholds} thresholds, but the network has {classes} classes")

    def _check_values(self, scores: Scores) -> None:
        """Find out whether the network's outputs (1, classes) are probabilities or logits."""
        post_process = self._bundle.post_process
        if not self._thresholded:
            self._logits = bool((scores < 0).any() or abs(float(scores.sum()) - 1) > 1e-2)
            self.warning = "" if post_process.named or not self._logits else _NO_POST_PROCESS
        elif not _are_shares(scores):
            raise StartupError(
                f"{post_process.operation} compares outputs with a threshold, but those of the "
                "network do not lie between 0 and 1: export it with its softmax or sigmoid"
            )


class Load(Protocol):
    """Loads a network with a library."""

    def __call__(
        self, bundle: Bundle, device: Device, threads: int, further: Sequence[str] = (), /
    ) -> Network:
        """Return the network of `bundle`, with further values of its graph as outputs.

        Raises:
            StartupError: the library cannot load the network, or there is no GPU.
        """


def load_network(bundle: Bundle, device: Device, threads: int, engine: EngineName) -> Network:
    """Load the network of `bundle` for an `Engine`.

    If the bundle can tell what is unfamiliar, the network also gives the vectors for it.

    Raises:
        StartupError: as `library` and `Load` say, or the network has no such vectors.
    """
    further = []
    if bundle.limit:
        try:
            further = [read_ending(bundle, engine).vectors]
        except NoFeatures as error:
            raise StartupError(f"{bundle.directory}: {error}") from error
        except OSError:
            # The library says better which file is missing, and how to make it.
            further = []
    return library(engine)(bundle, device, threads, further)


def library(engine: EngineName) -> Load:
    """Import the engine's library and return the function that loads a network with it.

    Apart from the training code, only this function imports such a library.

    Raises:
        StartupError: the library is not installed.
    """
    try:
        if engine in {"onnxruntime", "onnxruntime-int8"}:
            from app.model.onnx_engine import OnnxNetwork  # noqa: PLC0415

            return partial(OnnxNetwork, int8=engine == "onnxruntime-int8")
        if engine in {"openvino", "openvino-int8"}:
            from app.model.openvino_engine import OpenvinoNetwork  # noqa: PLC0415

            return partial(OpenvinoNetwork, int8=engine == "openvino-int8")
        from app.model.paddle_engine import PaddleNetwork  # noqa: PLC0415
    except ImportError as error:
        raise StartupError(f"the engine is {engine}, but it is not installed: {error}") from error
    return partial(PaddleNetwork, bfloat16=engine == "paddle-bfloat16")


def softmax(logits: Scores) -> Scores:
    """Return the probabilities (N, classes) of logits (N, classes)."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)


def _are_shares(scores: Scores) -> bool:
    """Return whether all scores lie between 0 and 1, but for rounding."""
    return bool(((scores >= -_ROUNDING) & (scores <= 1 + _ROUNDING)).all())
