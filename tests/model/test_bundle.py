"""Bundles of dummy bytes: their content, the refused ones, and errors that name the file."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from app.errors import BundleError
from app.model import golden
from app.model.bundle import Bundle, load_bundle
from app.model.golden import TOLERANCE, Golden

GRAPH, WEIGHTS = b"{}", b"weights"
OPS: list[dict[str, Any]] = [
    {"ResizeImage": {"resize_short": 256}},
    {"CropImage": {"size": 224}},
    {"NormalizeImage": None},
    {"ToCHWImage": None},
]
CONFIG: dict[str, Any] = {
    "Global": {"model_name": "PP-LCNet_x1_0"},
    "PreProcess": {"transform_ops": OPS},
    "PostProcess": {"Topk": {"topk": 5, "label_list": ["tench", "goldfish"]}},
}


def write(directory: Path, config: object = CONFIG, graph: str = "inference.json") -> Path:
    directory.mkdir(exist_ok=True)
    (directory / graph).write_bytes(GRAPH)
    (directory / "inference.pdiparams").write_bytes(WEIGHTS)
    (directory / "inference.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return directory


def load(directory: Path, **sections: object) -> Bundle:
    return load_bundle(write(directory, {**CONFIG, **sections}))


@pytest.mark.parametrize("graph", ["inference.json", "inference.pdmodel"])
def test_reads_what_paddleclas_and_paddlex_export(tmp_path: Path, graph: str) -> None:
    bundle = load_bundle(write(tmp_path, graph=graph))
    assert bundle.graph == tmp_path / graph
    assert bundle.parameters == tmp_path / "inference.pdiparams"
    assert bundle.name == "PP-LCNet_x1_0"
    assert bundle.preprocessing.crop == (224, 224)
    assert bundle.labels == ("tench", "goldfish")
    assert bundle.label(1) == "goldfish"
    assert bundle.golden is None


def test_colours_are_converted_only_where_the_bundle_says_so(tmp_path: Path) -> None:
    assert not load(tmp_path).preprocessing.srgb
    assert load(tmp_path, PreProcess={"transform_ops": OPS, "colours": "sRGB"}).preprocessing.srgb


def test_json_is_taken_where_both_graphs_are_there(tmp_path: Path) -> None:
    write(tmp_path, graph="inference.pdmodel")
    assert load_bundle(write(tmp_path)).graph.name == "inference.json"


def test_the_version_is_that_of_the_parameters(tmp_path: Path) -> None:
    assert load(tmp_path).version == hashlib.sha256(WEIGHTS).hexdigest()[:12]


def test_without_a_model_name_it_is_called_as_its_directory(tmp_path: Path) -> None:
    assert load(tmp_path / "mine", Global=None).name == "mine"


def test_keys_of_others_are_ignored(tmp_path: Path) -> None:
    hpi = {"backend_configs": {"paddle_infer": {"trt_dynamic_shapes": {"x": [[1, 3, 224, 224]]}}}}
    assert load(tmp_path, Hpi=hpi) == load_bundle(write(tmp_path))


@pytest.mark.parametrize("post_process", [None, {}, {"Topk": None}, {"Topk": {"topk": 5}}])
def test_without_labels_a_class_is_called_by_its_number(
    tmp_path: Path, post_process: dict[str, Any] | None
) -> None:
    bundle = load(tmp_path, PostProcess=post_process)
    assert bundle.labels == ()
    assert bundle.label(7) == "7"


def test_labels_that_are_numbers_become_text(tmp_path: Path) -> None:
    assert load(tmp_path, PostProcess={"Topk": {"label_list": [0, 1.5]}}).labels == ("0", "1.5")


def test_recorded_hashes_that_fit_are_accepted(tmp_path: Path) -> None:
    recorded = {
        "inference.json": hashlib.sha256(GRAPH).hexdigest(),
        "inference.pdiparams": hashlib.sha256(WEIGHTS).hexdigest(),
    }
    bundle = load(tmp_path, Provenance={"sha256": recorded, "licence": "Apache-2.0"})
    assert bundle.provenance["licence"] == "Apache-2.0"


@pytest.mark.parametrize("name", ["inference.json", "inference.pdiparams"])
def test_a_file_that_is_not_the_one_recorded_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match=f"{name} is not the file recorded"):
        load(tmp_path, Provenance={"sha256": {name: "0" * 64}})


@pytest.mark.parametrize("name", ["inference.json", "inference.pdiparams", "inference.yml"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (write(tmp_path) / name).unlink()
    with pytest.raises(BundleError, match=name):
        load_bundle(tmp_path)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere: no such model directory"):
        load_bundle(tmp_path / "nowhere")


def test_a_link_is_followed_once(tmp_path: Path) -> None:
    built = write(tmp_path / "built")
    (tmp_path / "current").symlink_to(built)
    assert load_bundle(tmp_path / "current").directory == built


def test_a_link_that_leads_to_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(tmp_path / "next")
    (tmp_path / "next").symlink_to(tmp_path / "current")
    with pytest.raises(BundleError, match="current: no such model directory"):
        load_bundle(tmp_path / "current")


def test_a_path_that_the_system_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="xxx: File name too long"):
        load_bundle(tmp_path / ("x" * 300))


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="Linux only")
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    parameters = write(tmp_path) / "inference.pdiparams"
    parameters.unlink()
    # This is a regular file whose first byte gives EIO, even to root.
    parameters.symlink_to("/proc/self/mem")
    with pytest.raises(BundleError, match="Input/output error"):
        load_bundle(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: [", "not valid YAML"),
        (b"\xff\xfe\xfa", "not valid YAML"),
        (b"a: 2024-99-99", "not valid YAML"),
        (b"", "not a mapping"),
        (b"- a", "not a mapping"),
        (b"[" * 3000, "nested too deeply"),
    ],
)
def test_a_config_that_is_none_is_refused(tmp_path: Path, text: bytes, message: str) -> None:
    (write(tmp_path) / "inference.yml").write_bytes(text)
    with pytest.raises(BundleError, match=rf"inference\.yml: {message}$"):
        load_bundle(tmp_path)


@pytest.mark.parametrize(
    ("section", "content", "message"),
    [
        ("PreProcess", None, "PreProcess.transform_ops is missing"),
        ("PreProcess", {"transform_ops": "none"}, "PreProcess.transform_ops is missing"),
        ("PreProcess", {"transform_ops": ["ToCHWImage"]}, "PreProcess.transform_ops is missing"),
        ("PreProcess", ["transform_ops"], "PreProcess is not a mapping"),
        ("PreProcess", {"transform_ops": OPS[:2]}, "without NormalizeImage"),
        ("PreProcess", {"transform_ops": OPS, "colours": "P3"}, "only sRGB is supported"),
        ("PostProcess", {"NormalizeFeatures": None}, "unknown PostProcess NormalizeFeatures"),
        ("PostProcess", {"Topk": {"label_list": "cat"}}, "label_list is not a list"),
        ("Global", "model", "Global is not a mapping"),
        ("Provenance", {"sha256": "abc"}, "sha256 is not a mapping"),
        ("Provenance", {"golden": [{"class_id": 1}]}, "golden is not readable"),
    ],
)
def test_a_section_that_is_not_understood_is_refused_in_one_line(
    tmp_path: Path, section: str, content: object, message: str
) -> None:
    with pytest.raises(BundleError) as caught:
        load(tmp_path, **{section: content})
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'inference.yml'}: ")
    assert "\n" not in str(caught.value)


def test_golden_answers_are_read_back_as_they_were_recorded(tmp_path: Path) -> None:
    recorded = Golden.record(np.array([0.05, 0.7, 0.25], np.float32), count=2)
    assert recorded.scores == {1: 0.7, 2: 0.25}
    assert load(tmp_path, Provenance={"golden": recorded.as_list()}).golden == recorded


@pytest.mark.parametrize(
    "bad", ["text", 7, [7], ["text"], [{"class_id": 1}], [{"class_id": "x", "score": 1}],
            [{"class_id": 1, "score": None}], [{"class_id": float("inf"), "score": 1}],
            {"class_id": 1, "score": 1}],
)  # fmt: skip
def test_golden_answers_of_another_form_are_refused(bad: object) -> None:
    with pytest.raises(BundleError, match="not readable"):
        Golden.parse(bad)


@pytest.mark.parametrize(
    ("scores", "agrees"),
    [
        ([0.1, 0.9], True),
        ([0.1 - TOLERANCE / 2, 0.9 + TOLERANCE / 2], True),
        ([0.1, 0.9 - 2 * TOLERANCE], False),
        ([0.9, 0.1], False),
        ([0.1], False),
        ([0.1, float("nan")], False),
    ],
)
def test_golden_answers_allow_for_rounding_only(scores: list[float], agrees: bool) -> None:
    assert Golden({1: 0.9}).agrees(np.array(scores, np.float32), "paddle") is agrees


def test_a_negative_class_agrees_with_nothing() -> None:
    assert not Golden({-1: 0.9}).agrees(np.array([0.1, 0.9], np.float32), "paddle")


def test_the_golden_picture_is_wide_and_high_as_asked() -> None:
    picture = golden.drawn_picture(33, 20)
    assert picture.shape == (20, 33, 3)
    assert picture.dtype == np.uint8
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[-1, -1].tolist() == [255, 255, 255]
    assert golden.drawn_picture(1, 1).shape == (1, 1, 3)
