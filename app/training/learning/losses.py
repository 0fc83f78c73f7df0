"""What is minimised: cross-entropy or Poly-1, with soft targets and weights of classes.

Poly-1: Leng et al., "PolyLoss: A Polynomial Expansion Perspective of Classification Loss
Functions", https://arxiv.org/abs/2204.12511: cross-entropy + epsilon * (1 - p_t).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import paddle
from paddle import Tensor
from paddle.nn import functional as F  # noqa: N812  (the field's name for it)


@dataclass(frozen=True)
class Loss:
    """The mean loss of a batch.

    Attributes:
        epsilon: Poly-1's; 0 is plain cross-entropy.
        smoothing: the part of each target that is spread evenly over all classes, 0 to 1.
        class_weights: a factor a class; None counts every photo alike.
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


def balanced_weights(labels: Sequence[int] | npt.NDArray[np.int64], classes: int) -> list[float]:
    """Return a factor a class by which rare classes count as much as others; 1 on average."""
    counts = np.maximum(np.bincount(np.asarray(labels), minlength=classes), 1)
    return [float(factor) for factor in len(labels) / (classes * counts)]
