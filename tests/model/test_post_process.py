"""What `PostProcess` makes of scores, and the sections that are refused."""

from typing import Any

import numpy as np
import pytest

from app.errors import BundleError
from app.model.post_process import PostProcess, Prediction, read_post_process

LABELS = ["cat", "dog", "daisy"]


def scores(*values: float) -> Any:  # noqa: ANN401
    return np.array(values, np.float32)


def named(predictions: list[Prediction]) -> list[tuple[str, float]]:
    return [(each.label, each.score) for each in predictions]


def several(threshold: object) -> PostProcess:
    return read_post_process(
        {"MultiLabelThreshOutput": {"threshold": threshold, "label_list": LABELS}}
    )


def test_topk_names_the_likeliest_classes_without_a_threshold() -> None:
    post_process = read_post_process({"Topk": {"topk": 5, "label_list": LABELS}})
    answer = post_process.answer(scores(0.2, 0.5, 0.3))
    assert named(answer) == [("dog", 0.5), ("daisy", 0.3), ("cat", 0.2)]
    assert len(post_process.answer(scores(0.2, 0.5, 0.3), top_k=2)) == 2
    assert "threshold" not in answer[0].model_dump()
    assert "threshold" not in answer[0].model_dump_json()


def test_five_classes_are_named_unless_another_number_is_asked_for() -> None:
    ten = scores(*(i / 45 for i in range(10)))
    assert [each.class_id for each in PostProcess().answer(ten)] == [9, 8, 7, 6, 5]
    assert len(PostProcess().answer(ten, 7)) == 7


def test_each_class_that_reaches_its_threshold_is_named() -> None:
    answer = several(0.5).answer(scores(0.5, 0.4999, 0.75))
    assert named(answer) == [("daisy", 0.75), ("cat", 0.5)]
    assert [each.threshold for each in answer] == [0.5, 0.5]
    assert several(0.5).answer(scores(0.5, 0.4, 0.75), top_k=1) == answer[:1]


def test_no_class_may_reach_its_threshold() -> None:
    assert several(0.5).answer(scores(0.4, 0.3, 0.2)) == []
    assert several(0.5).answer(scores(0.4, 0.3, 0.2), top_k=3) == []


@pytest.mark.parametrize(
    "threshold",
    [{"default": 0.5, "1": 0.25}, {"default": 0.5, 1: 0.25}, [0.5, 0.25, 0.5]],
)
def test_a_class_may_have_its_own_threshold(threshold: object) -> None:
    answer = several(threshold).answer(scores(0.4, 0.3, 0.75))
    assert named(answer) == [("daisy", 0.75), ("dog", 0.3)]
    assert [each.threshold for each in answer] == [0.5, 0.25]


@pytest.mark.parametrize(
    ("second", "label", "score"), [(0.75, "nobody", 0.25), (0.875, "someone", 0.875)]
)
def test_a_threshold_of_two_classes_is_that_of_the_second(
    second: float, label: str, score: float
) -> None:
    parameters = {"threshold": 0.875, "label_0": "nobody", "label_1": "someone"}
    (answer,) = read_post_process({"ThreshOutput": parameters}).answer(scores(1 - second, second))
    assert (answer.label, answer.score, answer.threshold) == (label, score, 0.875)


def test_below_the_threshold_of_more_classes_a_class_of_its_own_is_named() -> None:
    parameters = {"threshold": 0.6, "default_label_index": 2, "label_list": LABELS}
    post_process = read_post_process({"ThreshOutput": parameters})
    assert named(post_process.answer(scores(0.125, 0.75, 0.125))) == [("dog", 0.75)]
    assert named(post_process.answer(scores(0.25, 0.5, 0.25))) == [("daisy", 0.25)]


def test_the_defaults_are_those_of_paddleclas() -> None:
    assert read_post_process({"MultiLabelThreshOutput": None}).threshold == 0.5
    assert read_post_process({"ThreshOutput": None}).threshold == 0
    assert read_post_process({"Topk": None}).threshold is None
    assert [read_post_process(each).named for each in ({"Topk": None}, {})] == [True, False]


def test_the_main_indicator_chooses_and_what_saves_photos_is_ignored() -> None:
    section = {
        "main_indicator": "Topk",
        "Topk": {"label_list": LABELS},
        "ThreshOutput": {"threshold": 0.5},
        "SavePreLabel": {"save_dir": "./pre_label/"},
    }
    assert read_post_process(section) == read_post_process({"Topk": {"label_list": LABELS}})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"NormalizeFeatures": None}, "unknown PostProcess NormalizeFeatures: only Topk, "),
        ({"main_indicator": "PersonAttribute", "PersonAttribute": {}}, "PersonAttribute"),
        ({"main_indicator": "Topk"}, "main_indicator names Topk, which is not there"),
        ({"Topk": None, "ThreshOutput": None}, "Topk, ThreshOutput: choose one"),
        ({"Topk": {"threshold": 0.5}}, "Topk: unknown parameter 'threshold'"),
        ({"Topk": 5}, "Topk is not a mapping"),
        ({"Topk": {"class_id_map_file": "names.txt"}}, "names.txt: `app weights adopt` writes"),
        ({"MultiLabelThreshOutput": {"threshold": "half"}}, "from 0 to 1: 'half'"),
        ({"MultiLabelThreshOutput": {"threshold": 1.5}}, "from 0 to 1: 1.5"),
        ({"MultiLabelThreshOutput": {"threshold": True}}, "from 0 to 1: True"),
        ({"MultiLabelThreshOutput": {"threshold": {"1": 0.5}}}, "from 0 to 1: None"),
        ({"MultiLabelThreshOutput": {"threshold": {"default": 0.5, "x": 0.5}}}, "'x'"),
        (
            {"MultiLabelThreshOutput": {"threshold": [0.5, 0.5], "label_list": LABELS}},
            "2 thresholds, but 3 labels",
        ),
        ({"ThreshOutput": {"threshold": {"default": 0.5}}}, "not one number"),
        ({"ThreshOutput": {"default_label_index": -1}}, "not the number of a class: -1"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError) as caught:
        read_post_process(section)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
