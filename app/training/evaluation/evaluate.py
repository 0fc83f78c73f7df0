"""Evaluates a bundle on labelled photos, through the code that also serves it."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.errors import ServiceError, StartupError
from app.images.files import reason
from app.model.bundle import Bundle
from app.model.offline import FileAnswer, FileError
from app.model.unfamiliarity import is_unfamiliar
from app.training.data.dataset import Sample
from app.training.evaluation.accuracy import Floats, Ints, Scored
from app.training.evaluation.recall import Recall, measure_recall


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        bundle: the evaluated bundle.
        names: the names of all classes of the bundle.
        samples: the N photos that could be read.
        result: the scores and the true classes of `samples`.
        skipped: the photos that could not be read.
        seconds: the time to decode and classify all photos.
        unfamiliar: the share of `samples` that the bundle calls unfamiliar; None if it cannot tell.
    """

    bundle: Bundle
    names: tuple[str, ...]
    samples: tuple[Sample, ...]
    result: Scored
    skipped: tuple[FileError, ...]
    seconds: float
    unfamiliar: float | None = None

    @property
    def occurring(self) -> Ints:
        """The ids of the classes that are the true or predicted class of at least one photo."""
        confusion = self.result.confusion()
        return np.flatnonzero(confusion.sum(0) + confusion.sum(1))

    def class_rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield `class_id, class, photos, precision, recall, f1` of each occurring class."""
        metrics = self.result.by_class()
        for i in self.occurring.tolist():
            values = (metrics.precision[i], metrics.recall[i], metrics.f1[i])
            yield i, self.names[i], int(metrics.photos[i]), *(round(float(v), 6) for v in values)

    @property
    def recall(self) -> Recall:
        """The recall of each class."""
        return measure_recall(self.result.rank, self.result.truth, len(self.names))

    def document(self) -> dict[str, Any]:
        """Return the metrics as plain data for JSON.

        Precision, recall and F1 are means over the classes with photos, which have equal weights.
        """
        classes = self.result.by_class()
        present = classes.photos > 0
        return {
            "bundle": self.bundle.name,
            "version": self.bundle.version,
            "photos": len(self.samples),
            "classes": int(present.sum()),
            "top1": round(self.result.top(1), 6),
            "top5": round(self.result.top(5), 6),
            "precision": _mean(classes.precision[present]),
            "recall": _mean(classes.recall[present]),
            "f1": _mean(classes.f1[present]),
            "recall_by_class": {
                name: value
                for name, value in self.recall.named(self.names).items()
                if value is not None
            },
            "calibration_error": round(self.result.reliability().error, 6),
            **({} if self.unfamiliar is None else {"unfamiliar": round(self.unfamiliar, 6)}),
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
    """Return the evaluation of a bundle, and measure how long its answers take.

    Args:
        bundle: the evaluated bundle.
        samples: the photos with their true classes.
        answers: what `offline.classify` yields for `samples`, in their order.
        skip_broken: skip photos that cannot be read.

    Raises:
        StartupError: a photo cannot be read and `skip_broken` is False, or no photo can be read.
    """
    started = time.perf_counter()
    rows, read, skipped, far = [], [], [], []
    for sample, answer in zip(samples, answers, strict=True):
        if isinstance(answer, FileAnswer):
            rows.append(answer.scores)
            read.append(sample)
            far += [] if answer.unfamiliarity is None else [is_unfamiliar(answer.unfamiliarity)]
        elif skip_broken:
            error = FileError(file=str(sample.path), code=answer.code, detail=reason(answer))
            skipped.append(error)
        else:
            raise StartupError(f"{sample.path}: {reason(answer)}")
    if not rows:
        raise StartupError(
            f"no photo can be read; the first error is {skipped[0].file}: {skipped[0].detail}"
        )
    seconds = time.perf_counter() - started
    result = Scored(np.stack(rows), np.array([sample.class_id for sample in read]))
    names = tuple(map(bundle.label, range(len(rows[0]))))
    unfamiliar = float(np.mean(far)) if far else None
    return Evaluation(bundle, names, tuple(read), result, tuple(skipped), seconds, unfamiliar)


def _mean(values: Floats) -> float:
    return round(float(values.mean()), 6)
