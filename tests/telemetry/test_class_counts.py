"""Answers by class: the common classes are named, and their number is bounded."""

from prometheus_client import CollectorRegistry, Counter

from app.telemetry.answers import AnswersByClass


def counted(answers: list[int], classes: int) -> dict[str, float]:
    """Return the value of each series after these answers."""
    registry = CollectorRegistry()
    series = Counter("answers", "Answers.", ("class",), registry=registry)
    by_class = AnswersByClass(series, classes, "class {}".format)
    for class_id in answers:
        by_class.count(class_id)
    return {
        sample.labels["class"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "answers_total"
    }


def test_a_small_model_has_all_its_classes_from_the_start() -> None:
    assert counted([], 3) == {"0 class 0": 0, "1 class 1": 0, "2 class 2": 0, "others": 0}
    assert counted([2, 2, 0], 3)["2 class 2"] == 2


def test_a_common_class_of_a_large_model_is_named() -> None:
    values = counted([class_id for rare in range(100, 400) for class_id in (rare, 7)], 1000)
    # The first answers were counted before anyone could know that it is common.
    assert values == {"7 class 7": 300 - 9, "others": 300 + 9}


def test_a_class_that_becomes_common_later_is_named_then() -> None:
    values = counted([1] * 2000 + [5] * 100, 1000)
    assert values["5 class 5"] == 100 - 20
    assert sum(values.values()) == 2100


def test_no_answer_is_lost_and_the_number_of_series_is_bounded() -> None:
    answers = [class_id for _ in range(60) for class_id in range(99)]
    values = counted(answers, 1000)
    assert sum(values.values()) == len(answers)
    assert len(values) == 51
