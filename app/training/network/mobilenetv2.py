"""MobileNetV2 as in table 2 of the paper, with the widths and the names of PaddleClas.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
https://arxiv.org/abs/1801.04381. Names and widths are exactly those of PaddleClas, even where they
look odd, so that its official `MobileNetV2*_pretrained.pdparams` load without translation.
"""

from typing import Literal, NamedTuple

from paddle import ParamAttr, Tensor, nn
from paddle.nn import functional as F  # noqa: N812  (this short name is common)
from paddle.utils import unique_name

OFFICIAL_SCALES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)

# One row for each of the stages conv2 to conv8, from the paper's table 2: expansion t, channels c,
# number of blocks n, and stride s of the first block.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

Padding = Literal["symmetric", "bottom-right"]


class Window(NamedTuple):
    """The kernel size, stride and padding of a convolution, in pixels.

    Attributes:
        padding: one number for all sides, or [top, bottom, left, right].
    """

    kernel: int
    stride: int
    padding: int | list[int]


POINTWISE = Window(kernel=1, stride=1, padding=0)
KEEPING = Window(kernel=3, stride=1, padding=1)
HALVING: dict[Padding, Window] = {
    "symmetric": Window(kernel=3, stride=2, padding=1),
    "bottom-right": Window(kernel=3, stride=2, padding=[0, 1, 0, 1]),
}


class ConvBN(nn.Layer):
    """A convolution without bias, followed by batch normalisation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        name: str,
        window: Window = POINTWISE,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self._conv = nn.Conv2D(
            in_channels,
            out_channels,
            window.kernel,
            stride=window.stride,
            padding=window.padding,
            groups=groups,
            weight_attr=ParamAttr(name=f"{name}_weights"),
            bias_attr=False,
        )
        # This is Paddle's older BatchNorm, because BatchNorm2D cannot name its mean and variance.
        self._batch_norm = nn.BatchNorm(
            out_channels,
            param_attr=ParamAttr(name=f"{name}_bn_scale"),
            bias_attr=ParamAttr(name=f"{name}_bn_offset"),
            moving_mean_name=f"{name}_bn_mean",
            moving_variance_name=f"{name}_bn_variance",
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H/stride, W/stride), no activation."""
        y: Tensor = self._batch_norm(self._conv(x))  # (N, out_channels, H/stride, W/stride)
        return y


class InvertedResidual(nn.Layer):
    """An inverted residual block with a linear bottleneck.

    A 1x1 convolution widens the input by the factor t, a depthwise 3x3 convolution filters each
    channel by itself, and a 1x1 convolution without activation narrows the result. The paper's
    network has no expansion where t is 1; the network of PaddleClas keeps it, and so does this one.
    """

    def __init__(
        self, in_channels: int, out_channels: int, t: int, window: Window, name: str
    ) -> None:
        super().__init__()
        wide = in_channels * t
        self._shortcut = window.stride == 1 and in_channels == out_channels
        self._expand_conv = ConvBN(in_channels, wide, f"{name}_expand")
        self._bottleneck_conv = ConvBN(wide, wide, f"{name}_dwise", window, groups=wide)
        self._linear_conv = ConvBN(wide, out_channels, f"{name}_linear")

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H/stride, W/stride)."""
        y: Tensor = F.relu6(self._expand_conv(x))  # (N, t * in_channels, H, W)
        y = F.relu6(self._bottleneck_conv(y))  # (N, t * in_channels, H/stride, W/stride)
        y = self._linear_conv(y)  # (N, out_channels, H/stride, W/stride)
        return x + y if self._shortcut else y


class Stage(nn.Layer):
    """The n blocks of one row of the table; only the first block may halve height and width."""

    def __init__(
        self, in_channels: int, out_channels: int, t: int, windows: list[Window], name: str
    ) -> None:
        super().__init__()
        first, *others = windows
        self._first_block = InvertedResidual(in_channels, out_channels, t, first, f"{name}_1")
        self._others = [
            self.add_sublayer(
                f"{name}_{number}",
                InvertedResidual(out_channels, out_channels, t, window, f"{name}_{number}"),
            )
            for number, window in enumerate(others, start=2)
        ]

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H/stride, W/stride)."""
        y: Tensor = self._first_block(x)  # (N, out_channels, H/stride, W/stride)
        for block in self._others:
            y = block(y)  # (N, out_channels, H/stride, W/stride)
        return y


class MobileNetV2(nn.Layer):
    """Maps images (N, 3, H, W) float32 to logits (N, class_num) float32.

    H and W are multiples of 32.

    Args:
        class_num: the number of classes.
        scale: the width multiplier; a layer has int(c * scale) channels, not rounded to a
            multiple of 8.
        prefix_name: is put before the names of the parameters and of the stages conv2 to conv8.
            All networks in a process have the same names, those of PaddleClas. Paddle's optimizers
            keep their moments by parameter name, so two networks that one optimizer trains need
            different prefixes.
        padding: the padding of the 3x3 convolutions with stride 2. "symmetric" is that of
            PaddleClas, "bottom-right" that of TensorFlow's SAME on maps with even sides.
    """

    def __init__(
        self,
        class_num: int = 1000,
        scale: float = 1.0,
        prefix_name: str = "",
        padding: Padding = "symmetric",
    ) -> None:
        super().__init__()
        # Paddle refuses a parameter name that was used before in the process. The guard makes
        # Paddle forget the names of earlier networks.
        with unique_name.guard():
            self._build(class_num, scale, prefix_name, HALVING[padding])

    def _build(self, class_num: int, scale: float, prefix: str, halving: Window) -> None:
        channels = int(32 * scale)
        self.conv1 = ConvBN(3, channels, f"{prefix}conv1_1", halving)
        self._stages = []
        for number, (t, c, n, s) in enumerate(STAGES, start=2):
            name = f"{prefix}conv{number}"
            windows = [halving if s == 2 else KEEPING] + [KEEPING] * (n - 1)
            stage = Stage(channels, int(c * scale), t, windows, name)
            self._stages.append(self.add_sublayer(name, stage))
            channels = int(c * scale)
        self.feature_size = int(1280 * max(scale, 1.0))
        self.conv9 = ConvBN(channels, self.feature_size, f"{prefix}conv9")
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.out = nn.Linear(
            self.feature_size,
            class_num,
            weight_attr=ParamAttr(name=f"{prefix}fc10_weights"),
            bias_attr=ParamAttr(name=f"{prefix}fc10_offset"),
        )

    def features(self, x: Tensor) -> Tensor:
        """Return the classifier's input, (N, feature_size), for images (N, 3, H, W).

        The shapes in the comments are those for scale 1 and images of 224x224.
        """
        conv2, conv3, conv4, conv5, conv6, conv7, conv8 = self._stages
        y: Tensor = F.relu6(self.conv1(x))  # (N, 32, 112, 112)
        y = conv2(y)  # (N, 16, 112, 112)
        y = conv3(y)  # (N, 24, 56, 56)
        y = conv4(y)  # (N, 32, 28, 28)
        y = conv5(y)  # (N, 64, 14, 14)
        y = conv6(y)  # (N, 96, 14, 14)
        y = conv7(y)  # (N, 160, 7, 7)
        y = conv8(y)  # (N, 320, 7, 7)
        y = F.relu6(self.conv9(y))  # (N, 1280, 7, 7)
        y = self.pool(y)  # (N, 1280, 1, 1)
        return y.flatten(1)  # (N, 1280)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, class_num) of images (N, 3, H, W)."""
        logits: Tensor = self.out(self.features(x))  # (N, class_num)
        return logits
