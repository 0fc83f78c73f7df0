"""The network's input and answer for a photo, compared with PaddleClas's own deployment."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from networks import LABELS, linear_network, small_network
from paddle.inference import Config, create_predictor
from paddleclas.deploy.python.predict_cls import ClsPredictor
from paddleclas.deploy.python.preprocess import create_operators
from paddleclas.deploy.utils.config import AttrDict
from PIL import Image

from app.images.decoding import decode
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.training.network.export import Card, export

SIZES = [(301, 257), (256, 256), (640, 427), (97, 131), (331, 1023)]
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

Pixels = npt.NDArray[np.uint8]


def transform_ops(backend: str, interpolation: str = "bilinear") -> list[dict[str, Any]]:
    resize = {"resize_short": 256, "interpolation": interpolation, "backend": backend}
    normalize = {"scale": 1 / 255, "mean": MEAN, "std": STD, "order": ""}
    return [
        {"ResizeImage": resize},
        {"CropImage": {"size": 224}},
        {"NormalizeImage": normalize},
        {"ToCHWImage": None},
    ]


def noise(width: int, height: int) -> Pixels:
    """Return noise, on which two ways of resizing differ most."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def smooth(width: int, height: int) -> Pixels:
    small = Image.fromarray(noise(width // 8, height // 8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def png(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def bundle_for(directory: Path, ops: list[dict[str, Any]]) -> Path:
    export(linear_network(224, 224), Card("linear", ops, LABELS, {}), directory)
    return directory


def grey_levels(directory: Path, pixels: Pixels) -> npt.NDArray[np.float64]:
    """Return the difference of the network's two inputs, (3, H, W), in grey levels of 0 to 255."""
    bundle = load_bundle(directory)
    ours = bundle.preprocessing.normalized(
        decode(png(pixels), bundle.preprocessing, 10_000_000).pixels[np.newaxis]
    )[0]
    theirs: Any = pixels
    config = yaml.safe_load((directory / "inference.yml").read_text("utf-8"))
    for op in create_operators(config["PreProcess"]["transform_ops"]):
        theirs = op(theirs)
    assert ours.shape == theirs.shape == (3, 224, 224)
    assert ours.dtype == theirs.dtype == np.float32
    difference: npt.NDArray[np.float64] = np.abs(ours - theirs) * np.array(STD)[:, None, None] * 255
    return difference


@pytest.mark.parametrize(("backend", "mean"), [("cv2", 0.5), ("pil", 0.1)])
def test_bilinear_is_theirs_to_a_grey_level(backend: str, mean: float, tmp_path: Path) -> None:
    directory = bundle_for(tmp_path / "bundle", transform_ops(backend))
    for width, height in SIZES:
        difference = grey_levels(directory, noise(width, height))
        assert difference.max() < 1.01
        assert difference.mean() < mean


def test_pillows_bicubic_is_theirs_to_a_grey_level(tmp_path: Path) -> None:
    directory = bundle_for(tmp_path / "bundle", transform_ops("pil", "bicubic"))
    for width, height in SIZES:
        difference = grey_levels(directory, smooth(width, height))
        assert difference.max() < 1.01
        assert difference.mean() < 0.1


def test_one_backend_is_not_the_other(tmp_path: Path) -> None:
    """This test shows that the tests above can fail."""
    directory = bundle_for(tmp_path / "bundle", transform_ops("pil"))
    config = (directory / "inference.yml").read_text("utf-8")
    ours = load_bundle(directory)
    (directory / "inference.yml").write_text(config.replace("backend: pil", "backend: cv2"))
    theirs = load_bundle(directory)
    pixels = [
        decode(png(noise(640, 427)), bundle.preprocessing, 10_000_000).pixels.astype(int)
        for bundle in (ours, theirs)
    ]
    assert np.abs(pixels[0] - pixels[1]).mean() > 5


class TheirPredictor(ClsPredictor):  # type: ignore[misc]
    """PaddleClas's predictor without its memory optimisation.

    With enable_memory_optim, Paddle 3.3.1 cannot load an inference.json.
    """

    def create_paddle_predictor(self, args: dict[str, Any], _: None = None) -> tuple[Any, Config]:
        config = Config(args["inference_model_dir"], "inference")
        config.disable_gpu()
        return create_predictor(config), config


def test_their_predictor_serves_our_bundle(tmp_path: Path) -> None:
    card = Card("small", transform_ops("pil"), LABELS, {}, srgb=True)
    export(small_network(), card, tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    config = yaml.safe_load((bundle.directory / "inference.yml").read_text("utf-8"))
    # PaddleClas's own configurations for deployment have this entry.
    config["PostProcess"]["main_indicator"] = "Topk"
    config["Global"] = AttrDict(inference_model_dir=str(bundle.directory), use_fp16=False)
    # A photo of this size is not resized: a random network would exaggerate the differences of
    # resizing, which the tests above check.
    pixels = smooth(256, 256)

    theirs = TheirPredictor(config).predict([pixels])[0]

    photo = decode(png(pixels), bundle.preprocessing, 10_000_000)
    ours = bundle.post_process.best(Engine(bundle).infer(photo.pixels[np.newaxis])[0], 3)
    assert theirs["class_ids"] == [row.class_id for row in ours]
    assert theirs["label_names"] == [row.label for row in ours]
    assert theirs["scores"] == pytest.approx([row.score for row in ours], abs=1e-4)
    assert ours[0].score - ours[2].score > 0.05
