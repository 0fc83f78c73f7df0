"""A network exported as a bundle.

The bundle is written to a temporary folder, checked against the network and only then moved to its
path.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
from paddle import nn
from paddle.static import InputSpec

from app.disk import reserve, room_for
from app.errors import StartupError
from app.images.preprocessing import Preprocessing
from app.model import golden
from app.model.bundle import CONFIG, SRGB, load_bundle
from app.model.engine import Engine
from app.model.golden import Golden
from app.model.transform_ops import read_transform_ops
from app.training.network.config import write_config
from app.training.network.folding import folded
from app.training.network.graph import save_graph
from app.training.network.mobilenetv2 import MobileNetV2

# Two engines add and multiply in different orders, which may change a probability by this much.
MAX_DIFFERENCE = 1e-4


@dataclass(frozen=True)
class Card:
    """The contents of a bundle besides the network.

    Attributes:
        name: the model's name in PaddleX.
        transform_ops: the preprocessing in PaddleClas's format.
        labels: one name per class, in the order of the network's output.
        provenance: origin, licence and accuracy.
        srgb: whether photos with a colour profile are converted to sRGB.
    """

    name: str
    transform_ops: Sequence[Mapping[str, Any]]
    labels: Sequence[str]
    provenance: Mapping[str, Any]
    srgb: bool = False


def export(network: nn.Layer, card: Card, directory: Path) -> None:
    """Write `network` with a softmax behind it as a bundle to `directory`.

    A bundle that is already in `directory` is replaced. A link stays a link, and the bundle that
    it points to is replaced.

    Args:
        network: maps images (N, 3, H, W) float32 to logits (N, classes).
        card: the contents of the bundle besides the network.
        directory: the bundle's path.

    Raises:
        StartupError: the written bundle gives other scores than the network, or `directory` exists
            and is not a bundle. In both cases nothing is replaced.
    """
    check_replaceable(directory)
    directory = directory.resolve()
    directory.parent.mkdir(parents=True, exist_ok=True)
    spec = read_transform_ops(card.transform_ops)
    model = nn.Sequential(network, nn.Softmax())
    model.eval()
    lean = nn.Sequential(folded(network), nn.Softmax())
    size = _size(lean)
    with (
        room_for(directory, size),
        tempfile.TemporaryDirectory(prefix=".building-", dir=directory.parent) as temporary,
    ):
        built = Path(temporary) / directory.name
        built.mkdir()
        width, height = spec.crop
        reserve(built, size)
        inputs = InputSpec([None, 3, height, width], "float32", name="x")
        translate = not isinstance(network, MobileNetV2)
        save_graph(lean, built / "inference", inputs, translate=translate)
        golden_scores = _scores(model, spec, _golden_picture(spec))[0]  # (classes,)
        _write_config(built, card, Golden.record(golden_scores))
        _check(built, model, spec)
        replace(directory, built)


def _size(network: nn.Layer) -> int:
    """Return the bytes of the network's parameters and statistics."""
    return sum(int(value.size) * value.element_size() for value in network.state_dict().values())


def check_replaceable(directory: Path) -> None:
    """Check that `directory` is a bundle or does not exist.

    Raises:
        StartupError: `directory` exists and is not a bundle.
    """
    if directory.exists() and not (directory / CONFIG).is_file():
        raise StartupError(f"{directory} is not a bundle and is not replaced; choose another path")


def _write_config(built: Path, card: Card, answers: Golden) -> None:
    colours = {"colours": SRGB} if card.srgb else {}
    sections = {
        "Global": {"model_name": card.name},
        "PreProcess": {"transform_ops": [dict(op) for op in card.transform_ops], **colours},
        "PostProcess": {"Topk": {"topk": min(5, len(card.labels)), "label_list": [*card.labels]}},
    }
    write_config(built, sections, card.provenance, answers)


def probes(spec: Preprocessing) -> npt.NDArray[np.uint8]:
    """Return images (4, H, W, 3) to compare two networks on: the golden picture, then noise."""
    picture = _golden_picture(spec)
    noise = np.random.default_rng(0).integers(0, 256, (3, *picture.shape[1:]), np.uint8)
    return np.concatenate([picture, noise])


def _check(built: Path, model: nn.Layer, spec: Preprocessing) -> None:
    """Compare the written bundle's scores with those of the network.

    Raises:
        StartupError: a score differs by more than MAX_DIFFERENCE.
    """
    images = probes(spec)
    got, expected = Engine(load_bundle(built)).infer(images), _scores(model, spec, images)
    difference = float(np.abs(got - expected).max())
    if difference > MAX_DIFFERENCE:
        raise StartupError(
            f"the exported network's scores differ from the original's by up to {difference:.2g}"
        )


def _golden_picture(spec: Preprocessing) -> npt.NDArray[np.uint8]:
    return golden.drawn_picture(*spec.crop)[np.newaxis]  # (1, H, W, 3)


def _scores(
    model: nn.Layer, spec: Preprocessing, images: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """Return the model's probabilities (N, classes) for images (N, H, W, 3) uint8."""
    with paddle.no_grad():
        scores = model(paddle.to_tensor(spec.normalized(images)))
    return np.asarray(scores.numpy(), np.float32)


def replace(directory: Path, built: Path) -> None:
    """Move the folder `built` to the path `directory`.

    An old folder there is moved beside `built`; the caller deletes it with its temporary folder.
    """
    old = built.with_name(f"{directory.name}.old")
    try:
        if directory.exists():
            directory.rename(old)
        built.rename(directory)
    except BaseException:
        # Otherwise the caller would delete the only bundle with its temporary folder.
        if old.exists() and not directory.exists():
            old.rename(directory)
        raise
