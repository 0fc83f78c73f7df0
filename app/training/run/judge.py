"""What the best network of a run says of the held-out photos, and where it looks."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import paddle

from app.host import granted_cores
from app.images.preprocessing import Pixels, Preprocessing
from app.model.engine import softmax
from app.settings import Device
from app.training.data.dataset import Sample
from app.training.data.served import served
from app.training.evaluation.accuracy import Scored
from app.training.evaluation.temperature import fit_temperature
from app.training.network.freezing import SEGMENTS, segments, trunk
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.report.looks import Looks
from app.training.run.folder import Run
from app.training.run.progress import Display
from app.training.weights.pretrained import preprocessing

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class HeldOut:
    """The held-out photos of a run with the answers of its best network.

    Attributes:
        names, samples, result: as in `Judged`. The scores are calibrated as `export` does it.
        temperature: what calibrates them; it is fitted on these photos.
        looks: draws the photos, and where the network looked on them.
    """

    names: tuple[str, ...]
    samples: tuple[Sample, ...]
    result: Scored
    temperature: float
    looks: Looks


def judge(run: Run, display: Display) -> HeldOut:
    """Return the answers of the run's best network to its held-out photos.

    Raises:
        StartupError: the best network is missing, or a photo cannot be read any more.
    """
    recipe, samples = run.recipe, run.photos.validation
    spec = preprocessing(recipe, run.best_size)
    network = _Network(run.best_network(), spec, recipe.options.device)
    rows = []
    with display.bar("looking at held-out photos", len(samples)):
        paths = [sample.path for sample in samples]
        for pixels in served(paths, spec, recipe.options.max_pixels):
            rows.append(network(pixels).logits)
            display.advance(len(pixels))
    truth = np.array([sample.class_id for sample in samples])
    logits = np.concatenate(rows)
    temperature = fit_temperature(logits, truth)
    result = Scored(softmax(logits / np.float32(temperature)), truth)
    looks = Looks(recipe.options.max_pixels, spec, network.heat)
    return HeldOut(recipe.classes, samples, result, temperature, looks)


class _Answer(NamedTuple):
    """The network's feature maps, (N, K, h, w), and logits, (N, classes)."""

    maps: Floats
    logits: Floats


class _Network:
    """A MobileNetV2 whose feature maps can be seen; all but its last layers run in the engine."""

    def __init__(self, network: MobileNetV2, spec: Preprocessing, device: Device) -> None:
        self._trunk = trunk(network, SEGMENTS - 1, spec, device, granted_cores())
        self._last = segments(network)[-1]
        self._out = network.out
        self._weights = np.asarray(network.out.weight.numpy())  # (K, classes)

    def __call__(self, images: Pixels) -> _Answer:
        with paddle.no_grad():
            x = paddle.to_tensor(self._trunk(images))
            # The last segment is conv9, its activation, the pooling and a reshape.
            convolution, activation, pool, flatten = self._last.children()
            maps = activation(convolution(x))
            logits = self._out(flatten(pool(maps)))
        return _Answer(np.asarray(maps.numpy()), np.asarray(logits.numpy()))

    def heat(self, pixels: Pixels, class_id: int) -> Floats:
        """Return how much each place adds to the logit of a class, (h, w)."""
        maps = self(pixels[np.newaxis]).maps[0]
        return np.asarray(np.tensordot(self._weights[:, class_id], maps, axes=1), np.float32)
