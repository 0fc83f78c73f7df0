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
from paddleclas.ppcls.utils.config import dump_infer_config
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
    "RepVGG_A0",
    "DeiT_tiny_patch16_224",
    "ConvNeXt_tiny",
)
TOLERANCE = 3e-4

# Some networks say this when their statistics are set.
pytestmark = pytest.mark.filterwarnings("ignore:When training, we now always track")


def photos() -> list[Pixels]:
    """Return smooth pictures of a size that is not resized.

    A random network would exaggerate the differences of resizing, which other tests check.
    """
    small = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
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
        if getattr(layer, "gamma", None) is not None:
            # At first, ConvNeXt takes only a millionth of what its blocks compute.
            layer.gamma.set_value(paddle.ones_like(layer.gamma))
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


def built(name: str, classes: int, activation: nn.Layer) -> nn.Layer:
    """Return a network in the form in which `tools/export_model.py` exports it."""
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
    return model


def save(model: nn.Layer, directory: Path) -> Path:
    size = [InputSpec([None, 3, 224, 224], "float32")]
    paddle.jit.save(model, str(directory / "inference"), input_spec=size)
    return directory


def exported(name: str, directory: Path, classes: int, activation: nn.Layer) -> Path:
    return save(built(name, classes, activation), directory)


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
        assert len(ours) == len(their["class_ids"])
        labels = dict(zip(their["class_ids"], their["label_names"], strict=True))
        values = dict(zip(their["class_ids"], map(float, their["scores"]), strict=True))
        for each in ours:
            if bundle.post_process.operation == "Topk" and each.class_id not in values:
                # Two classes may be so close that rounding decides which one is the fifth.
                assert each.score == pytest.approx(min(values.values()), abs=TOLERANCE)
            else:
                assert each.label == labels[each.class_id]
                assert each.score == pytest.approx(values[each.class_id], abs=TOLERANCE)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_default_export_answers_as_paddleclas_with_its_yaml(name: str, tmp_path: Path) -> None:
    directory = exported(name, tmp_path / "inference", 1000, nn.Softmax(axis=-1))
    assert {path.suffix for path in directory.iterdir()} == {".json", ".pdiparams"}
    file = DEPLOYED / "inference_cls.yaml"
    expected = theirs(directory, file)
    assert len({answer["class_ids"][0] for answer in expected}) > 2

    adopted, doubt = adopt(directory, file)
    bundle = load_bundle(adopted)
    assert not doubt
    assert bundle.golden is not None
    assert bundle.label(0) == "tench, Tinca tinca"
    check_same(bundle, expected)


@pytest.mark.parametrize(
    ("operation", "classes", "activation", "name"),
    [
        ("Topk", 1000, nn.Softmax(axis=-1), "inference_cls.yaml"),
        ("MultiLabelThreshOutput", 33, nn.Sigmoid(), "inference_cls_multilabel.yaml"),
    ],
)
def test_the_yml_of_paddlex_is_served_as_it_is_and_adopted(
    operation: str, classes: int, activation: nn.Layer, name: str, tmp_path: Path
) -> None:
    """PaddleX lets PaddleClas export, with a name of its own for the model."""
    directory = exported("MobileNetV1_x0_25", tmp_path / "inference", classes, activation)
    file = DEPLOYED / name
    deployed = yaml.safe_load(file.read_text("utf-8"))
    ops, parameters = deployed["PreProcess"]["transform_ops"], deployed["PostProcess"][operation]
    ops[2]["NormalizeImage"]["scale"] = "1.0/255.0"
    parameters["class_id_map_file"] = str(DEPLOYED.parent / parameters["class_id_map_file"])
    training = {
        "Global": {"pdx_model_name": "PP-LCNet_x1_0"},
        "Infer": {"transforms": ops, "PostProcess": {"name": operation, **parameters}},
    }
    dump_infer_config(training, str(directory / "inference.yml"))
    expected = theirs(directory, file)

    bundle = load_bundle(directory)
    assert (bundle.name, len(bundle.labels)) == ("PP-LCNet_x1_0", classes)
    assert bundle.golden is None
    check_same(bundle, expected)
    adopted = load_bundle(adopt(directory, target=tmp_path / "adopted")[0])
    assert adopted.golden is not None
    check_same(adopted, expected)


def test_an_older_graph_is_adopted(tmp_path: Path) -> None:
    model = built("MobileNetV1_x0_25", 1000, nn.Softmax(axis=-1))
    with paddle.pir_utils.OldIrGuard():
        older = save(model, tmp_path / "older")
    assert (older / "inference.pdmodel").exists()
    file = DEPLOYED / "inference_cls.yaml"
    check_same(load_bundle(adopt(older, file)[0]), theirs(save(model, tmp_path / "newer"), file))


def test_a_threshold_of_two_classes_decides_as_in_paddleclas(tmp_path: Path) -> None:
    directory = exported("MobileNetV1_x0_25", tmp_path / "inference", 2, nn.Softmax(axis=-1))
    file = DEPLOYED / "PULC" / "person_exists" / "inference_person_exists.yaml"
    expected = theirs(directory, file)
    assert {answer["label_names"][0] for answer in expected} == {"nobody", "someone"}
    check_same(load_bundle(adopt(directory, file)[0]), expected)


def test_a_threshold_of_more_classes_decides_as_in_paddleclas(tmp_path: Path) -> None:
    directory = exported("MobileNetV1_x0_25", tmp_path / "inference", 5, nn.Softmax(axis=-1))
    config = yaml.safe_load((DEPLOYED / "inference_cls.yaml").read_text("utf-8"))
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{i} class {i}\n" for i in range(5)), "utf-8")
    parameters = {
        "threshold": 0.6,
        "default_label_index": 3,
        "class_id_map_file": str(labels),
    }
    config["PostProcess"] = {"main_indicator": "ThreshOutput", "ThreshOutput": parameters}
    file = tmp_path / "deployed.yaml"
    file.write_text(yaml.safe_dump(config), "utf-8")
    expected = theirs(directory, file)
    assert len({answer["class_ids"][0] for answer in expected}) > 1
    assert min(answer["scores"][0] for answer in expected) < 0.6
    check_same(load_bundle(adopt(directory, file)[0]), expected)


def test_several_labels_a_photo_are_those_of_paddleclas(tmp_path: Path) -> None:
    directory = exported("MobileNetV1_x0_25", tmp_path / "inference", 33, nn.Sigmoid())
    file = DEPLOYED / "inference_cls_multilabel.yaml"
    expected = theirs(directory, file)
    assert len({len(answer["class_ids"]) for answer in expected}) > 1
    assert max(len(answer["class_ids"]) for answer in expected) > 5
    check_same(load_bundle(adopt(directory, file)[0]), expected)
