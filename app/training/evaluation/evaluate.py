"""A bundle held against labelled photos, seen through the very code that serves."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.errors import ServiceError, StartupError
from app.model.bundle import Bundle
from app.model.offline import FileAnswer, FileError
from app.training.data.dataset import Sample
from app.training.evaluation.accuracy import Floats, Ints, Scored


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        bundle: that was asked.
        names: of all its classes.
        samples: the photos that were read, N.
        result: their scores and true classes, in the order of `samples`.
        skipped: the photos that could not be read.
        seconds: it took to decode and classify all.
    """

    bundle: Bundle
    names: tuple[str, ...]
    samples: tuple[Sample, ...]
    result: Scored
    skipped: tuple[FileError, ...]
    seconds: float

    @property
    def concerned(self) -> Ints:
        """The classes that a photo has or got; a part of the data may leave many out."""
        confusion = self.result.confusion()
        return np.flatnonzero(confusion.sum(0) + confusion.sum(1))

    def class_rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield `class_id, class, photos, precision, recall, f1` of each class concerned."""
        figures = self.result.by_class()
        for i in self.concerned.tolist():
            three = (figures.precision[i], figures.recall[i], figures.f1[i])
            yield i, self.names[i], int(figures.photos[i]), *(round(float(f), 6) for f in three)

    def document(self) -> dict[str, Any]:
        """Return the figures as plain data for JSON; the means count each class alike."""
        classes = self.result.by_class()
        there = classes.photos > 0
        return {
            "bundle": self.bundle.name,
            "version": self.bundle.version,
            "photos": len(self.samples),
            "classes": int(there.sum()),
            "top1": round(self.result.top(1), 6),
            "top5": round(self.result.top(5), 6),
            "precision": _mean(classes.precision[there]),
            "recall": _mean(classes.recall[there]),
            "f1": _mean(classes.f1[there]),
            "calibration_error": round(self.result.reliability().error, 6),
            "images_per_s": round((len(self.samples) + len(self.skipped)) / self.seconds, 1),
            "skipped": [error.model_dump() for error in self.skipped],
        }


def evaluate(
    bundle: Bundle,
    samples: Sequence[Sample],
    answers: Iterable[FileAnswer | ServiceError],
    *,
    skip_broken: bool,
) -> Evaluation:
    """Collect the answers of `prediction.classify` to `samples`, and time them.

    Raises:
        StartupError: a photo cannot be read and none is to be skipped, or none at all can be read.
    """
    started = time.perf_counter()
    rows, read, skipped = [], [], []
    for sample, answer in zip(samples, answers, strict=True):
        if isinstance(answer, FileAnswer):
            rows.append(answer.scores)
            read.append(sample)
        elif skip_broken:
            error = FileError(file=str(sample.path), code=answer.code, detail=str(answer))
            skipped.append(error)
        else:
            raise StartupError(f"{sample.path}: {answer}")
    if not rows:
        raise StartupError(
            f"none of the photos can be read; {skipped[0].file}: {skipped[0].detail}"
        )
    seconds = time.perf_counter() - started
    result = Scored(np.stack(rows), np.array([sample.class_id for sample in read]))
    names = tuple(map(bundle.label, range(len(rows[0]))))
    return Evaluation(bundle, names, tuple(read), result, tuple(skipped), seconds)


def _mean(values: Floats) -> float:
    return round(float(values.mean()), 6)
