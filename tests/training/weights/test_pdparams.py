"""Parameters that Paddle writes are read, and pickles that name other functions are refused."""

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import paddle
import pytest
from paddle import nn

from app.training.weights.pdparams import NAME_TABLE, NotParameters, read_pdparams

Protocol = Literal[2, 3, 4]
ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pdparams"


def assert_same(read: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(read) == list(expected)
    for name, array in expected.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_what_paddle_saves(path: Path, protocol: Protocol) -> None:
    layer = nn.Sequential(nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4), nn.Linear(4, 2))
    paddle.save(layer.state_dict(), str(path), protocol=protocol)
    assert NAME_TABLE.encode() in path.read_bytes()
    expected = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    assert len(expected) == 8
    assert_same(read_pdparams(path), expected)


@pytest.mark.parametrize("protocol", [2, 4])
def test_tensors_with_their_names(path: Path, protocol: Protocol) -> None:
    # A value that is not a tensor makes paddle.save write tuples (name, array).
    tensors: Any = {"weight": paddle.to_tensor(ARRAY), "extra": ARRAY}
    paddle.save(tensors, str(path), protocol=protocol)
    assert b"tuple" in path.read_bytes()
    assert_same(read_pdparams(path), {"weight": ARRAY, "extra": ARRAY})


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_the_spellings_of_both_numpys(path: Path, module: str) -> None:
    written = pickle.dumps({"weight": ARRAY}, protocol=2)
    ours = np.empty(0).__reduce__()[0].__module__
    path.write_bytes(written.replace(ours.encode(), module.encode()))
    assert module.encode() in path.read_bytes()
    assert_same(read_pdparams(path), {"weight": ARRAY})


def test_strings_of_python_2(path: Path) -> None:
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    minus_1 = b"J\xff\xff\xff\xff"
    order = b"(K\x03U\x01<NNN" + minus_1 * 2 + b"K\x00tb"
    float32 = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R" + order
    state = b"(K\x01K\x02K\x03\x86" + float32 + b"\x89U\x18" + ARRAY.tobytes() + b"tb"
    path.write_bytes(b"\x80\x02}U\x01w" + array + state + b"s.")
    assert_same(read_pdparams(path), {"w": ARRAY})


def test_an_ordered_dict(path: Path) -> None:
    path.write_bytes(pickle.dumps(OrderedDict(b=ARRAY, a=ARRAY.astype(np.int64))))
    assert_same(read_pdparams(path), {"b": ARRAY, "a": ARRAY.astype(np.int64)})


class Call:
    """An object that makes the standard library's unpickler call `function`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_call_is_refused_and_not_made(path: Path, tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / "trace"
    path.write_bytes(pickle.dumps({"w": Call(os.mkdir, str(trace))}, protocol=protocol))
    with pytest.raises(NotParameters, match=rf"refused {os.name}\.mkdir") as caught:
        read_pdparams(path)
    assert "\n" not in str(caught.value)
    assert not trace.exists()

    # The standard library does make the call, so the test is a real one.
    pickle.loads(path.read_bytes())  # noqa: S301  (this file comes from the test itself)
    assert trace.exists()


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (Call(os.system, "true"), r"posix\.system"),
        # Paddle itself writes a single DenseTensor in this way.
        (Call(eval, "data", {"data": ARRAY}), r"builtins\.eval"),
        (Call(getattr, ARRAY, "tofile"), r"builtins\.getattr"),
        (np.float32(1), r"multiarray\.scalar"),
    ],
    ids=["system", "eval", "getattr", "scalar"],
)
def test_anything_else_is_refused_by_name(path: Path, content: object, refused: str) -> None:
    path.write_bytes(pickle.dumps({"w": content}))
    with pytest.raises(NotParameters, match=refused):
        read_pdparams(path)


def test_a_refused_module_is_not_even_imported(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    path.write_bytes(b"ctrap\nanything\n.")
    with pytest.raises(NotParameters, match=r"refused trap\.anything"):
        read_pdparams(path)


def test_only_the_codec_of_bytes(path: Path) -> None:
    written = pickle.dumps({"w": b"\xff"}, protocol=2)
    path.write_bytes(written.replace(b"\x06\x00\x00\x00latin1", b"\x05\x00\x00\x00rot13"))
    with pytest.raises(NotParameters, match="refused the codec rot13"):
        read_pdparams(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([ARRAY], "holds a list"),
        (ARRAY, "holds a ndarray"),
        ({"w": "text"}, "'w' is a str"),
        ({"w": {"nested": ARRAY}}, "'w' is a dict"),
        ({1: ARRAY}, "1 is not the name"),
        ({"w": (ARRAY,)}, "'w' is a tuple"),
        ({"w": ("name", 1)}, "'w' is a int"),
        ({"w": np.array([None])}, "'w' holds object, not numbers"),
        ({"w": np.array(["text"])}, "'w' holds <U4, not numbers"),
    ],
)
def test_not_parameters(path: Path, content: object, message: str) -> None:
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(NotParameters, match=f"^{message}"):
        read_pdparams(path)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_truncated_file(path: Path, protocol: Protocol) -> None:
    paddle.save({"w": paddle.to_tensor(ARRAY)}, str(path), protocol=protocol)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(NotParameters, match="not a file of parameters"):
            read_pdparams(path)


def test_no_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_pdparams(path)
