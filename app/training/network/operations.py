"""What Paddle's operations are in OpenVINO.

These are the operations of MobileNetV2 and of most other classifiers of PaddleClas.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.model.openvino_core import openvino as ov

# OpenVINO has no types: a value is an `ov.Output`, or a list of them, which Paddle has as well.
Value = Any
Given = Sequence[Value]
Attributes = Mapping[str, Any]
# A tuple has the values of several outputs.
Translation = Callable[[Given, Attributes], ov.Node | tuple[Value, ...]]

_ops = ov.opset13


def _window(attributes: Attributes) -> dict[str, Any]:
    """Return where the window of a convolution or a pooling moves."""
    if attributes["data_format"] != "NCHW":
        raise ValueError(f"the format {attributes['data_format']} has no translation")
    paddings = attributes["paddings"]
    # Two numbers stand for both sides; four are top, bottom, left and right.
    first, last = (paddings, paddings) if len(paddings) == 2 else (paddings[::2], paddings[1::2])
    automatic = {"EXPLICIT": "explicit", "SAME": "same_upper", "VALID": "valid"}
    return {
        "strides": attributes["strides"],
        "pads_begin": first,
        "pads_end": last,
        "auto_pad": automatic[attributes["padding_algorithm"]],
    }


def _conv2d(given: Given, attributes: Attributes) -> ov.Node:
    features, filters = given
    groups = attributes["groups"]
    window = {**_window(attributes), "dilations": attributes["dilations"]}
    if groups == 1:
        return _ops.convolution(features, filters, **window)
    count, *rest = filters.get_shape()
    grouped = _ops.reshape(filters, [groups, count // groups, *rest], special_zero=False)
    return _ops.group_convolution(features, grouped, **window)


def _pool2d(given: Given, attributes: Attributes) -> ov.Node:
    features, size = given[0], [int(length) for length in _numbers(given[1])]
    average = attributes["pooling_type"] == "avg"
    if attributes["global_pooling"] or (attributes["adaptive"] and size == [1, 1]):
        reduce = _ops.reduce_mean if average else _ops.reduce_max
        return reduce(features, np.array([2, 3]), keep_dims=True)
    if attributes["adaptive"]:
        raise ValueError("an adaptive pooling to several places has no translation")
    window = {
        **_window(attributes),
        "kernel_shape": size,
        "rounding_type": "ceil" if attributes["ceil_mode"] else "floor",
    }
    if average:
        return _ops.avg_pool(features, exclude_pad=attributes["exclusive"], **window)
    return _ops.max_pool(features, dilations=[1, 1], **window)


def _batch_norm(given: Given, attributes: Attributes) -> ov.Node:
    features, mean, variance, scale, bias = given
    return _ops.batch_norm_inference(features, scale, bias, mean, variance, attributes["epsilon"])


def _layer_norm(given: Given, attributes: Attributes) -> ov.Node:
    features, scale, bias = given
    axes = np.arange(attributes["begin_norm_axis"], _rank(features))
    if len(axes) > 1:
        raise ValueError("a normalisation over several axes has no translation")
    normal = _ops.mvn(features, axes, True, attributes["epsilon"], "inside_sqrt")
    return _ops.add(_ops.multiply(normal, scale), bias)


def _dropout(given: Given, attributes: Attributes) -> ov.Node:
    features, _, probability = given
    kept = 1.0 if attributes["mode"] == "upscale_in_train" else 1.0 - _numbers(probability).item()
    return _ops.multiply(features, np.float32(kept))


def _scale(given: Given, attributes: Attributes) -> ov.Node:
    features, factor = given
    bias = np.float32(attributes["bias"])
    if attributes["bias_after_scale"]:
        return _ops.add(_ops.multiply(features, factor), bias)
    return _ops.multiply(_ops.add(features, bias), factor)


def _flatten(given: Given, attributes: Attributes) -> ov.Node:
    rank = _rank(given[0])
    start, stop = attributes["start_axis"] % rank, attributes["stop_axis"] % rank
    if stop < rank - 1:
        after = _ops.slice(_shape(given), [stop + 1], [rank], [1])
        before = np.array([*[0] * start, -1])
        return _ops.reshape(given[0], _ops.concat([before, after], 0), special_zero=True)
    return _ops.reshape(given[0], np.array([*[0] * start, -1]), special_zero=True)


def _shape(given: Given, _: Attributes | None = None) -> ov.Node:
    return _ops.shape_of(given[0], "i64")


def _slice(given: Given, attributes: Attributes) -> ov.Node:
    features, start, stop = given
    axes = np.array(attributes["axes"])
    part = _ops.slice(features, _vector(start), _vector(stop), np.ones_like(axes), axes)
    lost = attributes["decrease_axis"]
    return _ops.squeeze(part, np.array(lost)) if lost else part


def _stack(given: Given, attributes: Attributes) -> ov.Node:
    axis = attributes["axis"]
    return _ops.concat([_ops.unsqueeze(value, np.array([axis])) for value in given[0]], axis)


def _split(given: Given, _: Attributes) -> tuple[Value, ...]:
    if len(given) == 1:
        # It takes a list apart.
        return tuple(given[0])
    features, lengths, axis = given
    return (_ops.variadic_split(features, axis, lengths).outputs(),)


def _expand(given: Given, _: Attributes) -> ov.Node:
    # A length of -1 stands for that of the input, as 1 does in OpenVINO.
    shape = _ops.maximum(_vector(given[1]), np.int64(1))
    return _ops.broadcast(given[0], shape, broadcast_spec="BIDIRECTIONAL")


def _vector(value: Value) -> ov.Output:
    """Return a vector, which may be given as a list of its elements."""
    if not isinstance(value, list):
        return value
    elements = [_ops.convert(_ops.reshape(e, [1], special_zero=False), "i64") for e in value]
    return _ops.concat(elements, 0).output(0)


def _numbers(value: ov.Output) -> npt.NDArray[Any]:
    """Return the elements of a constant."""
    return np.asarray(value.get_node().get_data())


def _rank(value: ov.Output) -> int:
    return len(value.get_partial_shape())


TRANSLATIONS: dict[str, Translation] = {
    "add": lambda given, _: _ops.add(*given),
    "batch_norm_": _batch_norm,
    "clip": lambda given, _: _ops.minimum(_ops.maximum(given[0], given[1]), given[2]),
    "combine": lambda given, _: (list(given),),
    "concat": lambda given, _: _ops.concat(given[0], int(_numbers(given[1]).item())),
    "conv2d": _conv2d,
    "depthwise_conv2d": _conv2d,
    "divide": lambda given, _: _ops.divide(*given),
    "dropout": _dropout,
    "elementwise_pow": lambda given, _: _ops.power(*given),
    "expand": _expand,
    "flatten": _flatten,
    "full": lambda _, of: _ops.constant(np.full(of["shape"], of["value"], of["dtype"])),
    "full_int_array": lambda _, of: _ops.constant(np.array(of["value"], of["dtype"])),
    "gelu": lambda given, of: _ops.gelu(given[0], "tanh" if of["approximate"] else "erf"),
    "hardsigmoid": lambda given, of: _ops.hard_sigmoid(
        given[0], np.float32(of["slope"]), np.float32(of["offset"])
    ),
    "hardswish": lambda given, _: _ops.hswish(given[0]),
    "layer_norm": _layer_norm,
    "matmul": lambda given, of: _ops.matmul(*given, of["transpose_x"], of["transpose_y"]),
    "mean": lambda given, of: _ops.reduce_mean(*given, of["keepdim"]),
    "multiply": lambda given, _: _ops.multiply(*given),
    "pool2d": _pool2d,
    "pow": lambda given, of: _ops.power(given[0], np.float32(of["y"])),
    "relu": lambda given, _: _ops.relu(given[0]),
    "relu6": lambda given, _: _ops.clamp(given[0], 0.0, 6.0),
    # A length of 0 stands for that of the input.
    "reshape": lambda given, _: _ops.reshape(given[0], _vector(given[1]), special_zero=True),
    "scale": _scale,
    "shape64": _shape,
    "sigmoid": lambda given, _: _ops.sigmoid(given[0]),
    "slice": _slice,
    "softmax": lambda given, of: _ops.softmax(given[0], of["axis"]),
    "split": _split,
    "sqrt": lambda given, _: _ops.sqrt(given[0]),
    "squeeze": lambda given, _: _ops.squeeze(*given),
    "stack": _stack,
    "subtract": lambda given, _: _ops.subtract(*given),
    "swish": lambda given, _: _ops.swish(given[0]),
    "transpose": lambda given, of: _ops.transpose(given[0], np.array(of["perm"])),
    "unsqueeze": lambda given, _: _ops.unsqueeze(*given),
}
