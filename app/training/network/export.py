"""A network -> a bundle: written beside its place, checked against the network, then moved in."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import yaml
from paddle import nn
from paddle.static import InputSpec

from app.errors import StartupError
from app.images.preprocessing import Preprocessing
from app.model import golden
from app.model.bundle import CONFIG, GRAPHS, PARAMETERS, load_bundle, sha256
from app.model.engine import Engine
from app.model.golden import Golden
from app.model.transform_ops import read_transform_ops
from app.training.network.folding import folded

# What another order of the same arithmetic may change in a probability.
PARITY = 1e-4


@dataclass(frozen=True)
class Card:
    """What a bundle says beside the network.

    Attributes:
        name: the model's name, as PaddleX knows it.
        transform_ops: the preprocessing in PaddleClas's words.
        labels: a name a class, in the order of the network's output.
        provenance: origin, licence, accuracy.
    """

    name: str
    transform_ops: Sequence[Mapping[str, Any]]
    labels: Sequence[str]
    provenance: Mapping[str, Any]


def export(network: nn.Layer, card: Card, directory: Path) -> None:
    """Write `network` (logits out) with a softmax as a bundle to `directory`, replacing it.

    Raises:
        StartupError: the written bundle does not answer as the network does, or the place holds
            something else; nothing is replaced then.
    """
    check_place(directory)
    directory = directory.resolve()  # a link to it stays one
    directory.parent.mkdir(parents=True, exist_ok=True)
    spec = read_transform_ops(card.transform_ops)
    model = nn.Sequential(network, nn.Softmax())
    model.eval()
    with tempfile.TemporaryDirectory(prefix=".building-", dir=directory.parent) as temporary:
        built = Path(temporary) / directory.name
        built.mkdir()
        width, height = spec.crop
        inputs = [InputSpec([None, 3, height, width], "float32", name="x")]
        lean = nn.Sequential(folded(network), nn.Softmax())
        lean.eval()
        paddle.jit.save(lean, str(built / "inference"), input_spec=inputs)
        _write_config(built, card, Golden.record(_answers(model, spec, _golden(spec))[0]))
        _check(built, model, spec)
        replace(directory, built)


def check_place(directory: Path) -> None:
    """Raise StartupError where something stands that is no bundle."""
    if directory.exists() and not (directory / CONFIG).is_file():
        raise StartupError(f"{directory} is there and is no bundle; it is not replaced")


def _write_config(built: Path, card: Card, answers: Golden) -> None:
    files = [built / name for name in (*GRAPHS, PARAMETERS) if (built / name).exists()]
    config = {
        "Global": {"model_name": card.name},
        "PreProcess": {"transform_ops": [dict(op) for op in card.transform_ops]},
        "PostProcess": {"Topk": {"topk": min(5, len(card.labels)), "label_list": [*card.labels]}},
        "Provenance": {
            **card.provenance,
            "sha256": {file.name: sha256(file) for file in files},
            "golden": answers.as_list(),
        },
    }
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    (built / CONFIG).write_text(text, encoding="utf-8")


def probes(spec: Preprocessing) -> npt.NDArray[np.uint8]:
    """Return the golden picture and noise, (4, H, W, 3): what two networks are compared on."""
    picture = _golden(spec)
    noise = np.random.default_rng(0).integers(0, 256, (3, *picture.shape[1:]), np.uint8)
    return np.concatenate([picture, noise])


def _check(built: Path, model: nn.Layer, spec: Preprocessing) -> None:
    """Hold what was written against the network."""
    images = probes(spec)
    got, expected = Engine(load_bundle(built)).infer(images), _answers(model, spec, images)
    difference = float(np.abs(got - expected).max())
    if difference > PARITY:
        raise StartupError(f"the exported network answers differently, by up to {difference:.2g}")


def _golden(spec: Preprocessing) -> npt.NDArray[np.uint8]:
    return golden.drawn_picture(*spec.crop)[np.newaxis]  # (1, H, W, 3)


def _answers(
    model: nn.Layer, spec: Preprocessing, images: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """Return the network's own probabilities (N, classes) for (N, H, W, 3) uint8."""
    with paddle.no_grad():
        scores = model(paddle.to_tensor(spec.normalized(images)))
    return np.asarray(scores.numpy(), np.float32)


def replace(directory: Path, built: Path) -> None:
    """Put `built` in the place of `directory`; what was there goes with the temporary folder."""
    if directory.exists():
        directory.rename(built.with_name(f"{directory.name}.old"))
    built.rename(directory)
