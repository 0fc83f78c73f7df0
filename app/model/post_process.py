"""What a bundle's `PostProcess` makes of a network's scores: the classes of an answer.

The operations and their default values are those of PaddleClas and PaddleX.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from app.errors import BundleError

Scores = npt.NDArray[np.float32]
Operation = Literal["Topk", "ThreshOutput", "MultiLabelThreshOutput"]

_TOP_K = 5
_LABELS = {"label_list", "class_id_map_file", "delimiter"}
_PARAMETERS: dict[str, set[str]] = {
    "Topk": {"topk"} | _LABELS,
    "ThreshOutput": {"threshold", "default_label_index", "label_0", "label_1"} | _LABELS,
    "MultiLabelThreshOutput": {"threshold"} | _LABELS,
}
_THRESHOLD = {"ThreshOutput": 0, "MultiLabelThreshOutput": 0.5}


class Prediction(BaseModel):
    """One class and its probability. It is in `/openapi.json`."""

    class_id: int = Field(ge=0, examples=[282])
    label: str = Field(examples=["tiger cat"])
    score: float = Field(ge=0, le=1, description="Probability", examples=[0.395])
    threshold: float | None = Field(
        None,
        description="The threshold by which the model names classes; absent if it has none",
        exclude_if=lambda threshold: threshold is None,
    )


@dataclass(frozen=True)
class PostProcess:
    """How the scores of a network become the classes of an answer.

    Attributes:
        operation: `Topk` names the likeliest classes. `ThreshOutput` names one class, and
            `MultiLabelThreshOutput` each class whose score reaches its threshold, perhaps none.
        named: whether the yml names the operation.
        labels: the classes' names in the order of the network's output; empty if there are none.
        threshold: what a score must reach; None for `Topk`.
        own_thresholds: {class_id: threshold} of classes that have another one.
        listed: whether each class must have a threshold of its own.
        default_class: what `ThreshOutput` names if none of three or more classes is above the
            threshold.
    """

    operation: Operation = "Topk"
    named: bool = False
    labels: tuple[str, ...] = ()
    threshold: float | None = None
    own_thresholds: Mapping[int, float] = field(default_factory=dict)
    listed: bool = False
    default_class: int = 0

    @property
    def exclusive(self) -> bool:
        """Whether a photo has exactly one class, so that the scores of all classes add up to 1."""
        return self.operation != "MultiLabelThreshOutput"

    def label(self, class_id: int) -> str:
        """Return the name of the class, or its number if there are no names."""
        return self.labels[class_id] if self.labels else str(class_id)

    def answer(self, scores: Scores, top_k: int | None = None) -> list[Prediction]:
        """Return the classes that an answer names, the highest score first.

        Args:
            scores: (classes,).
            top_k: the largest number of classes; None means five for `Topk`, and no limit for the
                other operations.
        """
        if self.operation == "Topk":
            return self.best(scores, top_k or _TOP_K)
        if self.operation == "ThreshOutput":
            return [self._decided(scores)]
        above = np.flatnonzero(scores >= self._thresholds(len(scores)))
        order = above[np.argsort(-scores[above], kind="stable")][:top_k]
        return [self._prediction(i, float(scores[i])) for i in order.tolist()]

    def best(self, scores: Scores, count: int) -> list[Prediction]:
        """Return the `count` classes with the highest `scores` (classes,), the highest first."""
        return [self._prediction(i, float(scores[i])) for i in _highest(scores, count)]

    @property
    def highest_class(self) -> int:
        """The highest number of a class that the operation itself names."""
        return max([self.default_class, *self.own_thresholds])

    def _decided(self, scores: Scores) -> Prediction:
        """Return the one class that `ThreshOutput` names, as PaddleClas does."""
        assert self.threshold is not None  # noqa: S101  (only `Topk` has none)
        if len(scores) == 2:
            score = float(scores[1])
            reached = score >= self.threshold
            return self._prediction(int(reached), score if reached else 1 - score)
        best = int(scores.argmax())
        chosen = best if scores[best] > self.threshold else self.default_class
        return self._prediction(chosen, float(scores[chosen]))

    def _thresholds(self, classes: int) -> Scores:
        thresholds = np.full(classes, self.threshold, np.float32)
        for class_id, threshold in self.own_thresholds.items():
            thresholds[class_id] = threshold
        return thresholds

    def _prediction(self, class_id: int, score: float) -> Prediction:
        return Prediction(
            class_id=class_id,
            label=self.label(class_id),
            score=round(min(1.0, max(0.0, score)), 6),
            threshold=self.own_thresholds.get(class_id, self.threshold),
        )


def _highest(scores: Scores, count: int) -> list[int]:
    """Return the indices of the `count` highest scores (classes,), of equal ones the first."""
    # Sorting only what may be among them takes a quarter of the time for 1000 classes.
    count = min(count, len(scores))
    least = np.partition(scores, -count)[-count]
    likely = np.flatnonzero(scores >= least)
    order = np.argsort(-scores[likely], kind="stable")[:count]
    found: list[int] = likely[order].tolist()
    return found


def read_post_process(section: Mapping[str, Any]) -> PostProcess:
    """Return what the section `PostProcess` of a yml says; the labels must stand in the yml.

    Raises:
        BundleError: an operation or a value is unknown; guessing its meaning would give wrong
            answers.
    """
    found = chosen_operation(section)
    if found is None:
        return PostProcess()
    operation, parameters = found
    if parameters.get("class_id_map_file") and not parameters.get("label_list"):
        raise BundleError(
            f"the names of the classes are in a file, {parameters['class_id_map_file']}: "
            "`app weights adopt` writes them into the yml"
        )
    default, own = _thresholds(parameters.get("threshold", _THRESHOLD.get(operation)), operation)
    labels = _labels(parameters)
    listed = isinstance(parameters.get("threshold"), list)
    if listed and labels and len(labels) != len(own):
        raise BundleError(f"PostProcess: {len(own)} thresholds, but {len(labels)} labels")
    return PostProcess(
        operation=operation,
        named=True,
        labels=labels,
        threshold=default,
        own_thresholds=own,
        listed=listed,
        default_class=_class_id(parameters.get("default_label_index", 0)),
    )


def chosen_operation(section: Mapping[str, Any]) -> tuple[Operation, dict[str, Any]] | None:
    """Return the operation that makes the answer, and its parameters; None if there is none.

    `main_indicator` chooses one of several, and `SavePreLabel` only copies photos.

    Raises:
        BundleError: the operation is unknown or has an unknown parameter, or nothing chooses it.
    """
    main = section.get("main_indicator")
    names = [name for name in section if name not in {"main_indicator", "SavePreLabel"}]
    if main:
        names = [name for name in names if name == main]
        if not names:
            raise BundleError(f"PostProcess.main_indicator names {main}, which is not there")
    if len(names) > 1:
        raise BundleError(
            f"PostProcess has {', '.join(map(str, names))}: choose one with main_indicator"
        )
    return _known(names[0], section[names[0]]) if names else None


def _known(name: str, parameters: Any) -> tuple[Operation, dict[str, Any]]:  # noqa: ANN401  (YAML)
    if name not in get_args(Operation):
        known = ", ".join(get_args(Operation))
        raise BundleError(f"unknown PostProcess {name}: only {known} are supported")
    if not isinstance(parameters, Mapping | None):
        raise BundleError(f"PostProcess.{name} is not a mapping")
    for key in parameters or {}:
        if key not in _PARAMETERS[name]:
            raise BundleError(f"PostProcess.{name}: unknown parameter {key!r}")
    return cast(Operation, name), dict(parameters or {})


def _thresholds(given: Any, operation: str) -> tuple[float | None, dict[int, float]]:  # noqa: ANN401
    """Return the threshold of all classes, and {class_id: threshold} of those with their own.

    PaddleX also takes a list with a threshold for each class, and a mapping with a default.
    """
    if isinstance(given, list) and given:
        given = {"default": 1.0, **dict(enumerate(given))}
    if not isinstance(given, Mapping):
        return (None if given is None else _share(given)), {}
    if operation != "MultiLabelThreshOutput":
        raise BundleError(f"PostProcess.{operation}.threshold is not one number")
    own = {_class_id(key): _share(value) for key, value in given.items() if key != "default"}
    return _share(given.get("default")), own


def _share(value: Any) -> float:  # noqa: ANN401  (YAML)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise BundleError(f"PostProcess: a threshold must be a number from 0 to 1: {value!r}")


def _class_id(value: Any) -> int:  # noqa: ANN401  (YAML)
    text = str(value)
    if text.isdecimal() and text.isascii() and len(text) < 10:
        return int(text)
    raise BundleError(f"PostProcess: not the number of a class: {value!r}")


def _labels(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    labels = parameters.get("label_list") or []
    if "label_0" in parameters or "label_1" in parameters:
        labels = [parameters.get("label_0", "0"), parameters.get("label_1", "1")]
    if not isinstance(labels, list):
        raise BundleError("PostProcess: label_list is not a list")
    return tuple(str(label) for label in labels)
