"""The training loss: cross-entropy or Poly-1, with label smoothing and class weights.

Poly-1 is cross-entropy + epsilon * (1 - p_t). Source: Leng et al., "PolyLoss: A Polynomial
Expansion Perspective of Classification Loss Functions", https://arxiv.org/abs/2204.12511.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import paddle
from paddle import Tensor
from paddle.nn import functional as F  # noqa: N812  (this short name is common)

from app.training.data.holdout import Photos
from app.training.learning.choice import balances
from app.training.options import Options


@dataclass(frozen=True)
class Loss:
    """The mean loss of a batch.

    Attributes:
        epsilon: the factor of Poly-1; 0 gives plain cross-entropy.
        smoothing: the share of each target that is spread evenly over all classes, 0 to 1.
        class_weights: one factor per class; with None every photo counts the same.
    """

    epsilon: float = 0.0
    smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar, of logits (N, classes) and labels (N,) int64."""
        classes = logits.shape[1]
        target = F.one_hot(labels, classes)  # (N, classes)
        if self.smoothing:
            target = target * (1 - self.smoothing) + self.smoothing / classes  # (N, classes)
        log_p = F.log_softmax(logits.astype("float32"))  # (N, classes)
        losses = -(target * log_p).sum(axis=1)  # (N,)
        if self.epsilon:
            p_t = (target * log_p.exp()).sum(axis=1)  # (N,)
            losses = losses + self.epsilon * (1 - p_t)  # (N,)
        if self.class_weights is None:
            return losses.mean()
        weights = paddle.to_tensor(self.class_weights, "float32")[labels]  # (N,)
        return (losses * weights).sum() / weights.sum()


def make_loss(options: Options, photos: Photos) -> Loss:
    """Return the loss that `options` ask for; `photos.train` gives the balanced class weights."""
    weights = None
    if balances(options, photos):
        labels = np.array([sample.class_id for sample in photos.train])
        weights = tuple(balanced_weights(labels, len(photos.classes)))
    return Loss(options.epsilon if options.loss == "poly1" else 0.0, options.smoothing, weights)


def balanced_weights(labels: Sequence[int] | npt.NDArray[np.int64], classes: int) -> list[float]:
    """Return one factor per class, so that rare classes count as much as frequent ones.

    The mean factor of all photos is 1.

    Args:
        labels: the class of each photo.
        classes: the number of classes.
    """
    counts = np.maximum(np.bincount(np.asarray(labels), minlength=classes), 1)
    return [float(factor) for factor in len(labels) / (classes * counts)]
