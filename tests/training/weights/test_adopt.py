"""Exports without `inference.yml` become bundles, or one line says what is missing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from commands import Run
from networks import LABELS, SIDE, export_plain, linear_network, transform_ops
from paddle import nn

from app.errors import BundleError, StartupError
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.training.weights.adopt import adopt

PHOTO = Path(__file__).parents[3] / "docs" / "cat.jpg"
OPS = transform_ops(normalize={"scale": "1.0/255.0", "order": "", "channel_num": 3})
NAMES = "names/labels.txt"


def exported(directory: Path, activation: nn.Layer | None = None) -> Path:
    """Export a network of three classes."""
    return export_plain(nn.Sequential(linear_network(), activation or nn.Softmax()), directory)


@pytest.fixture(scope="module")
def _export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("exports") / "inference")


@pytest.fixture
def export(_export: Path, tmp_path: Path) -> Path:
    """An export with a softmax, in a folder of its own."""
    folder = tmp_path / "inference"
    folder.mkdir()
    for path in _export.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def deployed(**operations: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the contents of a YAML file of `deploy/configs`."""
    return {
        "Global": {"infer_imgs": "./images", "batch_size": 1},
        "PreProcess": {"transform_ops": OPS},
        "PostProcess": {**operations, "SavePreLabel": {"save_dir": "./pre_label/"}},
    }


TOPK = deployed(main_indicator="Topk", Topk={"topk": 5, "class_id_map_file": f"../{NAMES}"})
TRAINING = {
    "Global": {"pretrained_model": None},
    "Arch": {"name": "PPLCNet_x1_0", "class_num": 3},
    "Infer": {
        "transforms": [{"DecodeImage": {"to_rgb": True, "channel_first": False}}, *OPS],
        "PostProcess": {"name": "Topk", "topk": 5, "class_id_map_file": NAMES},
    },
}


def write(folder: Path, config: object, labels: bool = True) -> Path:
    """Write a YAML file as it lies in PaddleClas's folders, and the labels that it names."""
    file = folder / "clas" / "deploy" / "configs" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(config), "utf-8")
    if labels:
        names = folder / "clas" / NAMES
        names.parent.mkdir()
        names.write_text("".join(f"{i} {name}\n" for i, name in enumerate(LABELS)), "utf-8")
    return file


@pytest.mark.parametrize(("config", "name"), [(TOPK, "inference"), (TRAINING, "PPLCNet_x1_0")])
def test_an_export_becomes_a_bundle(
    export: Path, config: dict[str, Any], name: str, tmp_path: Path
) -> None:
    before = set(export.iterdir())
    assert adopt(export, write(tmp_path, config)) == (export, "")
    assert set(export.iterdir()) - before == {export / "inference.yml"}
    bundle = load_bundle(export)
    assert (bundle.name, bundle.labels) == (name, LABELS)
    assert bundle.provenance["source"] == "adopted from inference"
    assert bundle.provenance["sha256"].keys() == {"inference.json", "inference.pdiparams"}
    assert bundle.golden is not None
    Engine(bundle)


def test_the_yml_is_one_that_paddlex_reads(export: Path, tmp_path: Path) -> None:
    adopt(export, write(tmp_path, TRAINING))
    config = yaml.safe_load((export / "inference.yml").read_text("utf-8"))
    ops = {
        name: value for op in config["PreProcess"]["transform_ops"] for name, value in op.items()
    }
    assert [*ops] == ["ResizeImage", "CropImage", "NormalizeImage", "ToCHWImage"]
    assert ops["NormalizeImage"]["scale"] == pytest.approx(1 / 255)
    assert config["PostProcess"] == {"Topk": {"topk": 5, "label_list": [*LABELS]}}


def test_a_file_of_labels_takes_precedence(export: Path, tmp_path: Path) -> None:
    labels = tmp_path / "mine.txt"
    labels.write_text("one\ntwo\nthree\n", "utf-8")
    adopt(export, write(tmp_path, TOPK, labels=False), labels)
    assert load_bundle(export).labels == ("one", "two", "three")


def test_labels_may_lie_beside_the_network(export: Path, tmp_path: Path) -> None:
    (export / "labels.txt").write_text("0 a\n1 b\n2 c\n", "utf-8")
    adopt(export, write(tmp_path, TOPK, labels=False))
    assert load_bundle(export).labels == ("a", "b", "c")


def test_labels_may_have_another_delimiter(export: Path, tmp_path: Path) -> None:
    (export / "labels.txt").write_text("0,a b\n1,c\n2,d\n", "utf-8")
    config = deployed(Topk={"class_id_map_file": "labels.txt", "delimiter": ","})
    adopt(export, write(tmp_path, config, labels=False))
    assert load_bundle(export).labels == ("a b", "c", "d")


def test_a_new_directory_leaves_the_export_alone(export: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in export.iterdir()}
    target = tmp_path / "weights" / "mine"
    assert adopt(export, write(tmp_path, TOPK), target=target) == (target, "")
    assert {path.name: path.read_bytes() for path in export.iterdir()} == before
    assert [*target.parent.iterdir()] == [target]
    assert {path.name: path.read_bytes() for path in target.iterdir()}.items() > before.items()
    assert not any(path.is_symlink() for path in target.iterdir())
    # What PaddleX writes has an inference.yml, and may be adopted as it is.
    again = tmp_path / "again"
    adopt(target, target=again)
    assert load_bundle(again).labels == load_bundle(target).labels


def test_colours_stay_as_they_were(small_bundle: Path, tmp_path: Path) -> None:
    srgb = tmp_path / "srgb"
    adopt(small_bundle, target=srgb)
    file = srgb / "inference.yml"
    file.write_text(file.read_text("utf-8").replace("PreProcess:", "PreProcess:\n  colours: sRGB"))
    adopt(srgb, target=tmp_path / "again")
    assert load_bundle(tmp_path / "again").preprocessing.srgb
    assert not load_bundle(small_bundle).preprocessing.srgb


def test_nothing_is_overwritten(export: Path, tmp_path: Path) -> None:
    file = write(tmp_path, TOPK)
    adopt(export, file)
    before = (export / "inference.yml").read_bytes()
    with pytest.raises(StartupError, match=r"which is not overwritten: name .* with --to DIR"):
        adopt(export, file)
    with pytest.raises(StartupError, match="is there already and is not overwritten"):
        adopt(export, file, target=tmp_path)
    assert (export / "inference.yml").read_bytes() == before


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (deployed(Topk={"topk": 5, "class_id_map_file": "no.txt"}), "no.txt, which is not found: "),
        (deployed(Topk={"label_list": ["a", "b"]}), "2 labels, but the network has 3 classes"),
        (deployed(main_indicator="VehicleAttribute", VehicleAttribute={}), "VehicleAttribute"),
        (deployed(ThreshOutput={"threshold": 7}), "mine.yaml: PostProcess: a threshold must be"),
        (
            {**TOPK, "PreProcess": {"transform_ops": transform_ops(crop=32)}},
            "mine.yaml: the network of ",
        ),
        ({"Global": {}}, "neither PreProcess.transform_ops nor Infer.transforms is there"),
        ({"Infer": {"transforms": OPS[:1]}}, "without NormalizeImage"),
        ({"Infer": []}, "neither PreProcess"),
        ("text", "mine.yaml: not a mapping"),
    ],
)
def test_what_is_wrong_with_the_yaml_is_one_line(
    export: Path, config: object, message: str, tmp_path: Path
) -> None:
    before = set(export.iterdir())
    with pytest.raises((BundleError, StartupError)) as caught:
        adopt(export, write(tmp_path, config))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ".adopting-" not in str(caught.value)
    assert set(export.iterdir()) == before


def test_labels_without_a_use_are_refused(export: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(LABELS), "utf-8")
    config = {"PreProcess": {"transform_ops": OPS}}
    with pytest.raises(StartupError, match="names no PostProcess"):
        adopt(export, write(tmp_path, config), tmp_path / "labels.txt")


def test_without_a_yaml_the_message_says_how(run: Run, export: Path) -> None:
    code, _, err = run("weights", "adopt", export)
    assert code == 1
    assert err.count("\n") == 1
    for way in ("--config FILE", "inference_cls.yaml", "-o Global.export_for_fd=True"):
        assert way in err
    (export / "inference.pdiparams").unlink()
    assert "inference.pdiparams is missing" in run("weights", "adopt", export).err
    (export / "inference.json").unlink()
    assert "neither inference.json nor inference.pdmodel" in run("weights", "adopt", export).err
    assert "no such directory" in run("weights", "adopt", export / "no").err


def test_the_command_adopts_and_predicts(run: Run, tmp_path: Path) -> None:
    folder = exported(tmp_path / "inference", nn.Sigmoid())
    several = {"threshold": 0.0, "class_id_map_file": f"../{NAMES}"}
    file = write(tmp_path, deployed(MultiLabelThreshOutput=several))
    assert run("weights", "adopt", folder, "--config", file).out == f"adopted {folder}\n"
    out = run("predict", PHOTO, "--model-dir", folder).out
    assert all(label in out for label in LABELS)
    engine = Engine(load_bundle(folder))
    scores = engine.infer(np.zeros((1, SIDE, SIDE, 3), np.uint8))[0]
    assert scores.sum() != pytest.approx(1, abs=0.01)

    config = (folder / "inference.yml").read_text("utf-8")
    (folder / "inference.yml").write_text(config.replace("threshold: 0.0", "threshold: 1.0"))
    saved = tmp_path / "saved"
    code, out, _ = run("predict", PHOTO, "--model-dir", folder, "--save", saved)
    assert code == 0
    assert "no class reaches its threshold" in out
    assert (saved / PHOTO.name).exists()
    refused = run("evaluate", folder, tmp_path)
    assert "names classes by thresholds" in refused.err


def test_a_threshold_needs_probabilities(tmp_path: Path) -> None:
    folder = exported(tmp_path / "inference", nn.Identity())
    file = write(tmp_path, deployed(MultiLabelThreshOutput={"threshold": 0.5}))
    with pytest.raises(StartupError, match="do not lie between 0 and 1: export it with"):
        adopt(folder, file)


def test_outputs_that_are_no_probabilities_are_told(run: Run, tmp_path: Path) -> None:
    folder = exported(tmp_path / "inference", nn.Sigmoid())
    config = {"PreProcess": {"transform_ops": OPS}}
    code, _, err = run("weights", "adopt", folder, "--config", write(tmp_path, config))
    assert code == 0
    assert "names no PostProcess" in err
    assert "names no PostProcess" in run("predict", PHOTO, "--model-dir", folder).err


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        ({"default": 0.5, "3": 0.1}, "names class 3, but the network has 3 classes"),
        ([0.5, 0.5, 0.5, 0.5], "names class 3, but the network has 3 classes"),
        ([0.5, 0.5], "2 thresholds, but the network has 3 classes"),
    ],
)
def test_thresholds_that_do_not_fit_the_network_are_refused(
    threshold: object, message: str, tmp_path: Path
) -> None:
    folder = exported(tmp_path / "inference", nn.Sigmoid())
    file = write(tmp_path, deployed(MultiLabelThreshOutput={"threshold": threshold}))
    with pytest.raises(StartupError, match=message):
        adopt(folder, file)
