"""Exported bundles are compared with their networks through the engine, in this process."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import pytest
import yaml
from networks import (
    LABELS,
    SIDE,
    export_small,
    linear_network,
    small_card,
    small_network,
    transform_ops,
)
from paddle import Tensor, device, nn
from paddle.nn import functional as F  # noqa: N812  (this short name is common)
from paddle.static import InputSpec
from PIL.Image import Resampling

from app.errors import BundleError, StartupError
from app.model.bundle import load_bundle, sha256
from app.model.engine import Engine
from app.training.network.export import export, replace
from app.training.network.folding import folded

TESTS = Path(__file__).parents[2]

Images = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.float32]


def pictures(height: int, width: int) -> Images:
    """Return coarse squares of random colours, (3, height, width, 3).

    The squares are coarse, because a network averages fine noise and then cannot tell it apart.
    """
    colours = np.random.default_rng(1).integers(0, 256, (3, height // 16, width // 16, 3), np.uint8)
    return colours.repeat(16, axis=1).repeat(16, axis=2)


IMAGES = pictures(SIDE, SIDE)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def bundle(small_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the small bundle that a test may change."""
    return shutil.copytree(small_bundle, tmp_path / "bundle")


def probabilities(
    network: nn.Layer,
    images: Images,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> Scores:
    x = (images / 255 - mean) / std  # (N, H, W, 3)
    with paddle.no_grad():
        logits = network(paddle.to_tensor(x.transpose(0, 3, 1, 2), "float32"))
    scores: Scores = F.softmax(logits).numpy()
    return scores


def answers(directory: Path, images: Images = IMAGES) -> Scores:
    return Engine(load_bundle(directory)).infer(images)


def edit(directory: Path, change: Callable[[Any], object]) -> None:
    file = directory / "inference.yml"
    config = yaml.safe_load(file.read_text("utf-8"))
    change(config)
    file.write_text(yaml.safe_dump(config), "utf-8")


def save_graph(directory: Path, layer: nn.Layer) -> None:
    """Put another graph into the bundle, and remove its hashes, which other tools do not write."""
    spec = InputSpec([None, 3, SIDE, SIDE], "float32", name="x")
    layer.eval()
    paddle.jit.save(layer, str(directory / "inference"), input_spec=[spec])
    edit(directory, lambda config: config.pop("Provenance"))


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*.*")}


def test_the_bundle_answers_as_the_network(small_bundle: Path) -> None:
    expected = probabilities(small_network(), IMAGES)
    # The network's scores differ between the images.
    assert np.ptp(expected, axis=0).max() > 0.1
    np.testing.assert_allclose(answers(small_bundle), expected, atol=1e-4)


def test_folding_leaves_the_network_as_it_is_and_its_answers_alike() -> None:
    network = small_network()
    before = {key: value.numpy() for key, value in network.state_dict().items()}
    lean = folded(network)
    np.testing.assert_allclose(
        probabilities(lean, IMAGES), probabilities(network, IMAGES), atol=1e-4
    )
    after = {key: value.numpy() for key, value in network.state_dict().items()}
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[key], before[key]) for key in before)
    assert not any(isinstance(layer, nn.BatchNorm) for layer in lean.sublayers())
    # The first block's expansion is still there, because it changes its input in this network.
    assert lean.conv2._first_block._expand_conv


def test_an_expansion_that_does_nothing_is_left_out() -> None:
    network = small_network()
    expansion = network.conv2._first_block._expand_conv
    channels = len(expansion._conv.weight)
    neutral = {"weight": 1, "bias": 0, "_mean": 0, "_variance": 1 - expansion._batch_norm._epsilon}
    for key, value in expansion._batch_norm.state_dict().items():
        value.set_value(np.full(channels, neutral[key], np.float32))
    expansion._conv.weight.set_value(np.eye(channels, dtype=np.float32)[:, :, None, None])
    lean = folded(network)
    assert isinstance(lean.conv2._first_block, nn.Sequential)
    np.testing.assert_allclose(
        probabilities(lean, IMAGES), probabilities(network, IMAGES), atol=1e-4
    )


def test_the_bundle_says_what_it_is(small_bundle: Path) -> None:
    config = yaml.safe_load((small_bundle / "inference.yml").read_text("utf-8"))
    assert config["Global"] == {"model_name": "small"}
    assert config["PreProcess"] == {"transform_ops": transform_ops()}
    assert config["PostProcess"] == {"Topk": {"topk": 3, "label_list": list(LABELS)}}
    assert config["Provenance"]["source"] == "a test"
    assert config["Provenance"]["sha256"] == {
        name: sha256(small_bundle / name) for name in ("inference.json", "inference.pdiparams")
    }
    assert [row["class_id"] for row in config["Provenance"]["golden"]] != [0, 1, 2]
    assert contents(small_bundle).keys() == {
        "inference.json",
        "inference.pdiparams",
        "inference.yml",
    }


@pytest.mark.slow
def test_replacing_is_whole(bundle: Path) -> None:
    (bundle / "leftover.txt").touch()
    network = export_small(bundle, seed=1)
    assert not (bundle / "leftover.txt").exists()
    assert list(bundle.parent.iterdir()) == [bundle]
    np.testing.assert_allclose(answers(bundle), probabilities(network, IMAGES), atol=1e-4)


def test_what_cannot_be_replaced_stays(bundle: Path, tmp_path: Path) -> None:
    before = contents(bundle)
    with pytest.raises(FileNotFoundError):
        replace(bundle, tmp_path / "nothing")
    assert contents(bundle) == before


@pytest.mark.slow
def test_what_a_link_points_to_is_replaced_and_the_link_stays(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "current"
    link.symlink_to(bundle)
    network = export_small(link, seed=1)
    assert link.readlink() == bundle
    assert list(link.parent.iterdir()) == [link]
    np.testing.assert_allclose(answers(bundle), probabilities(network, IMAGES), atol=1e-4)


def test_labels_that_do_not_fit_leave_the_old_bundle(bundle: Path) -> None:
    before = contents(bundle)
    with pytest.raises(StartupError, match="3 labels, but the network has 2 classes"):
        export(nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 2)), small_card(), bundle)
    assert contents(bundle) == before
    assert list(bundle.parent.iterdir()) == [bundle]


class Fickle(nn.Layer):
    """Its exported graph adds 0, `shift` and 2 * `shift` to the logits of the three classes."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.head = linear_network()
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x)
        if paddle.in_dynamic_mode():
            return logits
        return logits + self.shift * paddle.arange(3, dtype="float32")


@pytest.mark.parametrize(
    ("shift", "message"),
    [(1, "golden answers"), (0.005, r"differ from the original's by up to 0\.00")],
)
def test_a_network_that_exports_otherwise_leaves_the_old_bundle(
    shift: float, message: str, bundle: Path
) -> None:
    before = contents(bundle)
    with pytest.raises(StartupError, match=message):
        export(Fickle(shift), small_card(), bundle)
    assert contents(bundle) == before
    assert list(bundle.parent.iterdir()) == [bundle]


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch], ids=["folder", "file"])
def test_what_is_no_bundle_is_not_replaced(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "mine")
    with pytest.raises(StartupError, match="is not a bundle"):
        export_small(tmp_path / "mine")
    assert (tmp_path / "mine").exists()


@pytest.mark.parametrize("name", ["inference.pdiparams", "inference.json"])
def test_a_changed_byte_is_noticed(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} .*SHA-256 differs"):
        load_bundle(bundle)


def test_golden_answers_of_other_weights_are_noticed(bundle: Path) -> None:
    edit(bundle, lambda config: config["Provenance"]["golden"][0].update(score=0.5))
    with pytest.raises(StartupError, match="golden answers"):
        Engine(load_bundle(bundle))


def test_other_normalisation_does_not_give_the_golden_answers(bundle: Path) -> None:
    normalize = {"NormalizeImage": {"mean": [0, 0, 0], "std": [1, 1, 1]}}
    edit(bundle, lambda config: config["PreProcess"]["transform_ops"].__setitem__(2, normalize))
    with pytest.raises(StartupError, match="golden answers"):
        Engine(load_bundle(bundle))


def test_the_labels_must_be_as_many_as_the_classes(bundle: Path) -> None:
    edit(bundle, lambda config: config["PostProcess"]["Topk"]["label_list"].append("one more"))
    with pytest.raises(StartupError, match="4 labels, but the network has 3 classes"):
        Engine(load_bundle(bundle))


def test_a_graph_without_softmax_gives_probabilities(bundle: Path) -> None:
    save_graph(bundle, linear_network())
    expected = probabilities(linear_network(), IMAGES)
    np.testing.assert_allclose(answers(bundle), expected, atol=1e-4)


OLDER = "import sys, networks; networks.export_small(networks.Path(sys.argv[1]))"


@pytest.mark.slow
def test_the_older_graph_file_gives_the_same_answers(small_bundle: Path, tmp_path: Path) -> None:
    # Paddle reads the flag when it is imported, so another process has to export.
    env = {**os.environ, "FLAGS_enable_pir_api": "0", "PYTHONPATH": str(TESTS)}
    older = tmp_path / "older"
    subprocess.run([sys.executable, "-c", OLDER, str(older)], env=env, check=True)
    assert (older / "inference.pdmodel").exists()
    assert not (older / "inference.json").exists()
    np.testing.assert_allclose(answers(older), answers(small_bundle), atol=1e-5)


def test_other_preprocessing_is_kept(tmp_path: Path) -> None:
    ops = transform_ops(
        {"size": [128, 64], "interpolation": "bicubic", "backend": "pil"},
        (96, 64),
        {"scale": 1 / 255, "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7]},
    )
    network, images = linear_network(64, 96), pictures(64, 96)
    export(network, small_card(ops), tmp_path / "bundle")
    spec = load_bundle(tmp_path / "bundle").preprocessing
    assert (spec.resize, spec.crop) == ((128, 64), (96, 64))
    assert (spec.resample, spec.antialias) == (Resampling.BICUBIC, True)
    expected = probabilities(network, images, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    np.testing.assert_allclose(answers(tmp_path / "bundle", images), expected, atol=1e-4)


class Sum(nn.Layer):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum([1, 2, 3])


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], r"shape \(1, 3, 64, 64\), not \(N, classes\)"),
        ([Sum()], r"shape \(1,\), not \(N, classes\)"),
        ([nn.Flatten(0)], "does not run"),
    ],
    ids=["map", "number", "no batch"],
)
def test_an_output_without_classes_is_a_startup_error(
    bundle: Path, layers: list[nn.Layer], message: str
) -> None:
    save_graph(bundle, nn.Sequential(nn.Conv2D(3, 3, 1), *layers))
    with pytest.raises(StartupError, match=message):
        Engine(load_bundle(bundle))


def test_a_network_for_another_size_does_not_run(bundle: Path) -> None:
    crop = {"CropImage": {"size": 32}}
    save_graph(bundle, linear_network())
    edit(bundle, lambda config: config["PreProcess"]["transform_ops"].__setitem__(1, crop))
    with pytest.raises(StartupError, match="does not run"):
        Engine(load_bundle(bundle))


@pytest.mark.parametrize("name", ["inference.json", "inference.pdiparams"])
@pytest.mark.parametrize("content", [b"", b"{}", None], ids=["empty", "braces", "cut short"])
def test_a_damaged_file_is_a_startup_error(bundle: Path, name: str, content: bytes | None) -> None:
    whole = (bundle / name).read_bytes()
    (bundle / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    edit(bundle, lambda config: config.pop("Provenance"))
    with pytest.raises(StartupError, match="cannot load") as caught:
        Engine(load_bundle(bundle))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(device.is_compiled_with_cuda(), reason="this machine may have a GPU")
def test_no_gpu_is_one_clear_line(small_bundle: Path) -> None:
    with pytest.raises(StartupError, match=r"^device is gpu, but .* without CUDA$"):
        Engine(load_bundle(small_bundle), "gpu")
