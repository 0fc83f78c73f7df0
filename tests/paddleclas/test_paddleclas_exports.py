"""Networks of PaddleClas, exported as its tools do, adopted, and compared with its own deployment.

PaddleClas's wheel has no `tools/export_model.py`. What that does is here in `exported`: a softmax
or a sigmoid behind the network, then `paddle.jit.save`, and no `inference.yml`.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import paddleclas
import pytest
import yaml
from paddle import nn
from paddle.inference import Config, create_predictor
from paddle.static import InputSpec
from paddle.utils import unique_name
from paddleclas.deploy.python.predict_cls import ClsPredictor
from paddleclas.deploy.utils.config import AttrDict
from paddleclas.ppcls.arch import backbone
from PIL import Image

from app.images.decoding import decode
from app.images.preprocessing import Pixels
from app.model.bundle import Bundle, load_bundle
from app.model.engine import Engine
from app.model.post_process import Scores
from app.training.weights.adopt import adopt

DEPLOYED = Path(paddleclas.__file__).parent / "deploy" / "configs"
BACKBONES = (
    "ResNet18_vd",
    "PPLCNet_x0_25",
    "PPLCNetV2_base",
    "PPHGNet_tiny",
    "MobileNetV1_x0_25",
    "MobileNetV2_x0_25",
    "MobileNetV3_small_x0_35",
    "ShuffleNetV2_x0_25",
    "GhostNet_x0_5",
    "EfficientNetB0",
    "DenseNet121",
    "SwinTransformer_tiny_patch4_window7_224",
    "DeiT_tiny_patch16_224",
    "ConvNeXt_tiny",
)
TOLERANCE = 1e-3


def photos() -> list[Pixels]:
    """Return smooth pictures of a size that is not resized.

    A random network would exaggerate the differences of resizing, which other tests check.
    """
    small = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    bicubic = Image.Resampling.BICUBIC
    return [np.asarray(Image.fromarray(each).resize((256, 256), bicubic)) for each in small]


def settle(network: nn.Layer, classes: int) -> None:
    """Let each class be the likeliest one of some photos, as in a trained network.

    Statistics and the classifier fit the photos. With random ones, a network answers nearly the
    same to each photo, so a test could not see an error.
    """
    x = paddle.to_tensor(np.stack([normalized(photo) for photo in photos()]), "float32")
    for layer in network.sublayers():
        if hasattr(layer, "_momentum"):
            layer._momentum = 0.0
    with paddle.no_grad():
        network.train()
        network(x)
        network.eval()
        logits = network(x)
        linear = [each for each in network.sublayers() if isinstance(each, nn.Linear)]
        head = next(each for each in reversed(linear) if each.weight.shape[1] == classes)
        spread = 2 / logits.std(axis=0)
        head.bias.set_value((head.bias - logits.mean(axis=0)) * spread)
        head.weight.set_value(head.weight * spread)


def normalized(photo: Pixels) -> npt.NDArray[np.float64]:
    crop = photo[16:240, 16:240] / 255
    scaled = (crop - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    chw: npt.NDArray[np.float64] = scaled.transpose(2, 0, 1)
    return chw


def exported(name: str, directory: Path, classes: int, activation: nn.Layer) -> Path:
    """Export a network as `tools/export_model.py` does by default."""
    # Without the guard, PaddleClas can build some networks only once per process.
    with unique_name.guard():
        paddle.seed(0)
        network: nn.Layer = getattr(backbone, name)(class_num=classes)
    settle(network, classes)
    model = nn.Sequential(network, activation)
    model.eval()
    for layer in model.sublayers():
        if hasattr(layer, "re_parameterize") and not layer.is_repped:
            layer.re_parameterize()
    size = [InputSpec([None, 3, 224, 224], "float32")]
    paddle.jit.save(model, str(directory / "inference"), input_spec=size)
    return directory


class TheirPredictor(ClsPredictor):  # type: ignore[misc]
    """PaddleClas's predictor without its memory optimisation.

    With enable_memory_optim, Paddle 3.3.1 cannot load an inference.json.
    """

    def create_paddle_predictor(self, args: dict[str, Any], _: None = None) -> tuple[Any, Config]:
        config = Config(args["inference_model_dir"], "inference")
        config.disable_gpu()
        config.disable_glog_info()
        return create_predictor(config), config


def theirs(directory: Path, file: Path) -> list[dict[str, Any]]:
    """Return PaddleClas's answers to the photos with its own YAML file for deployment."""
    config = yaml.safe_load(file.read_text("utf-8"))
    config["Global"] = AttrDict(inference_model_dir=str(directory), use_fp16=False)
    for parameters in config["PostProcess"].values():
        if isinstance(parameters, dict) and "class_id_map_file" in parameters:
            # The tools run in the folder `deploy`, from which this path leads to the labels.
            path = DEPLOYED.parent / parameters["class_id_map_file"]
            parameters["class_id_map_file"] = str(path)
    answers: list[dict[str, Any]] = TheirPredictor(config).predict(photos())
    return answers


def scores_of(bundle: Bundle) -> Scores:
    """Return our scores (photos, classes), from decoding on."""
    pixels = []
    for photo in photos():
        file = io.BytesIO()
        Image.fromarray(photo).save(file, "PNG")
        pixels.append(decode(file.getvalue(), bundle.preprocessing, 10_000_000).pixels)
    return Engine(bundle).infer(np.stack(pixels))


def check_same(bundle: Bundle, expected: list[dict[str, Any]]) -> None:
    """Check that our answers are PaddleClas's: classes, names and scores."""
    for scores, their in zip(scores_of(bundle), expected, strict=True):
        ours = bundle.post_process.answer(scores)
        assert [each.score for each in ours] == sorted((each.score for each in ours), reverse=True)
        assert {(each.class_id, each.label) for each in ours} == {
            *zip(their["class_ids"], their["label_names"], strict=True)
        }
        by_class = dict(zip(their["class_ids"], their["scores"], strict=True))
        for each in ours:
            assert each.score == pytest.approx(float(by_class[each.class_id]), abs=TOLERANCE)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_default_export_answers_as_paddleclas_with_its_yaml(name: str, tmp_path: Path) -> None:
    directory = exported(name, tmp_path / "inference", 1000, nn.Softmax(axis=-1))
    assert {path.suffix for path in directory.iterdir()} == {".json", ".pdiparams"}
    file = DEPLOYED / "inference_cls.yaml"
    expected = theirs(directory, file)
    assert len({answer["class_ids"][0] for answer in expected}) > 3

    adopted, doubt = adopt(directory, file)
    bundle = load_bundle(adopted)
    assert not doubt
    assert bundle.golden is not None
    assert bundle.label(0) == "tench, Tinca tinca"
    check_same(bundle, expected)


def test_an_older_graph_is_adopted(tmp_path: Path) -> None:
    with paddle.pir_utils.OldIrGuard():
        directory = exported("MobileNetV1_x0_25", tmp_path / "old", 1000, nn.Softmax(axis=-1))
    assert (directory / "inference.pdmodel").exists()
    bundle = load_bundle(adopt(directory, DEPLOYED / "inference_cls.yaml")[0])
    assert bundle.graph.name == "inference.pdmodel"


def test_a_threshold_of_two_classes_decides_as_in_paddleclas(tmp_path: Path) -> None:
    directory = exported("MobileNetV1_x0_25", tmp_path / "inference", 2, nn.Softmax(axis=-1))
    file = DEPLOYED / "PULC" / "person_exists" / "inference_person_exists.yaml"
    expected = theirs(directory, file)
    assert {answer["label_names"][0] for answer in expected} == {"nobody", "someone"}
    check_same(load_bundle(adopt(directory, file)[0]), expected)


@pytest.mark.parametrize(("threshold", "named"), [(0.0, {0, 1, 2, 3, 4}), (0.5, {2, 3})])
def test_a_threshold_of_more_classes_decides_as_in_paddleclas(
    threshold: float, named: set[int], tmp_path: Path
) -> None:
    directory = exported("MobileNetV1_x0_25", tmp_path / "inference", 5, nn.Softmax(axis=-1))
    config = yaml.safe_load((DEPLOYED / "inference_cls.yaml").read_text("utf-8"))
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{i} class {i}\n" for i in range(5)), "utf-8")
    parameters = {
        "threshold": threshold,
        "default_label_index": 3,
        "class_id_map_file": str(labels),
    }
    config["PostProcess"] = {"main_indicator": "ThreshOutput", "ThreshOutput": parameters}
    file = tmp_path / "deployed.yaml"
    file.write_text(yaml.safe_dump(config), "utf-8")
    expected = theirs(directory, file)
    print({answer["class_ids"][0] for answer in expected}, [a["scores"] for a in expected])
    check_same(load_bundle(adopt(directory, file)[0]), expected)


def test_several_labels_a_photo_are_those_of_paddleclas(tmp_path: Path) -> None:
    directory = exported("MobileNetV1_x0_25", tmp_path / "inference", 33, nn.Sigmoid())
    file = DEPLOYED / "inference_cls_multilabel.yaml"
    expected = theirs(directory, file)
    assert len({len(answer["class_ids"]) for answer in expected}) > 1
    assert max(len(answer["class_ids"]) for answer in expected) > 5
    check_same(load_bundle(adopt(directory, file)[0]), expected)
