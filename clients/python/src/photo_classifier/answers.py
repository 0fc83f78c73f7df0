"""What the service answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Prediction:
    """One class and its probability."""

    class_id: int
    label: str
    score: float


@dataclass(frozen=True)
class Image:
    """The size of the upright photo, and the format of its file."""

    width: int
    height: int
    format: str


@dataclass(frozen=True)
class Model:
    """The model that has answered."""

    name: str
    version: str


@dataclass(frozen=True)
class Answer:
    """The answer to one photo.

    Attributes:
        predictions: the likeliest classes, the highest score first.
        image: the photo as the service has seen it.
        model: the model that has answered.
        timings_ms: the milliseconds that the photo has spent in each stage.
        unfamiliar: whether the photo shows none of the model's classes; None if it cannot tell.
        unfamiliarity: how far the photo is from them, from 0 to 1; from 0.5 on it is unfamiliar.
    """

    predictions: Sequence[Prediction]
    image: Image
    model: Model
    timings_ms: Mapping[str, float]
    unfamiliar: bool | None = None
    unfamiliarity: float | None = None

    @property
    def best(self) -> Prediction | None:
        """The likeliest class; None if all are below `min_score` or the model's thresholds."""
        return self.predictions[0] if self.predictions else None

    @classmethod
    def of(cls, body: Mapping[str, Any], model: Mapping[str, str]) -> Self:
        """Return the answer of a body of JSON. Fields that this client does not know are dropped.

        Raises:
            KeyError, TypeError, ValueError: the body is no answer.
        """
        return cls(
            predictions=tuple(
                Prediction(int(each["class_id"]), str(each["label"]), float(each["score"]))
                for each in body["predictions"]
            ),
            image=Image(*(body["image"][name] for name in ("width", "height", "format"))),
            model=Model(model["name"], model["version"]),
            timings_ms=dict(body["timings_ms"]),
            unfamiliar=body.get("unfamiliar"),
            unfamiliarity=body.get("unfamiliarity"),
        )
