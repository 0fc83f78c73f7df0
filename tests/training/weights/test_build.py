"""Origins' files are built into bundles; a server on this machine has the files."""

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import numpy as np
import paddle
import pytest
from networks import LABELS, randomise
from paddle import nn

from app.errors import StartupError
from app.model.bundle import load_bundle, sha256
from app.model.engine import Engine
from app.training.data.class_names import read_labels
from app.training.network.mobilenetv2 import OFFICIAL_SCALES, MobileNetV2
from app.training.weights.build import IMAGENET_LABELS, build, build_paddleclas, import_file
from app.training.weights.sources import DEFAULT, read_sources

NAME = "MobileNetV2_x0_25"
FILE = f"{NAME}_pretrained.pdparams"
# Top-1 and top-5 accuracy in percent, as PaddleClas and Keras publish them.
ACCURACY = {
    DEFAULT: (71.3, 90.1),
    "MobileNetV2_x0_25": (53.21, 76.52),
    "MobileNetV2_x0_5": (65.03, 85.72),
    "MobileNetV2_x0_75": (69.83, 89.01),
    "MobileNetV2_x1_0": (72.15, 90.65),
    "MobileNetV2_x1_0_ssld": (76.74, 93.39),
    "MobileNetV2_x1_5": (74.12, 91.67),
    "MobileNetV2_x2_0": (75.23, 92.58),
}


def save(network: nn.Layer, file: Path, dtype: Literal["float32", "float16"] = "float32") -> Path:
    randomise(network)
    state = {key: value.astype(dtype) for key, value in network.state_dict().items()}
    paddle.save(state, str(file))
    return file


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    file = tmp_path / "labels.txt"
    file.write_text("\n".join(LABELS) + "\n", "utf-8")
    return file


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server's URL and its folder, which has a file in the form of PaddleClas's official ones."""
    folder = tmp_path_factory.mktemp("origin")
    save(MobileNetV2(1000, 0.25), folder / FILE)
    handler = partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


@pytest.fixture
def sources(origin: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return write_sources(tmp_path, f"{origin[0]}/{FILE}")


def write_sources(folder: Path, url: str, more: str = "") -> Path:
    file = folder / "sources.toml"
    file.write_text(f"""
        [{NAME}]
        what = "of a test"
        format = "paddleclas"
        scale = 0.25
        url = "{url}"
        version = "1"
        licence = "none"
        top1 = 0.5
        top5 = 0.75
        {more}
    """)
    return file


@pytest.mark.slow
def test_the_same_weights_become_a_bundle_of_another_size(sources: Path) -> None:
    directory = build(NAME, sources_file=sources, size=96)
    bundle = load_bundle(directory)
    assert directory == sources.parent / f"{NAME}_96"
    assert bundle.preprocessing.crop == (96, 96)
    assert bundle.preprocessing.resize_short == 110
    assert bundle.preprocessing.mean == (0.485, 0.456, 0.406)
    assert "accuracy" not in bundle.provenance
    pixels = np.zeros((1, 96, 96, 3), np.uint8)
    assert Engine(bundle).infer(pixels).shape == (1, 1000)


@pytest.mark.slow
def test_an_official_file_becomes_a_bundle(
    sources: Path, origin: tuple[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    directory = build(NAME, sources_file=sources)
    bundle = load_bundle(directory)
    digest = sha256(origin[1] / FILE)
    assert directory == sources.parent / NAME
    assert bundle.name == NAME
    assert bundle.labels == tuple(read_labels(IMAGENET_LABELS))
    assert bundle.provenance["fetched_sha256"] == digest
    assert bundle.provenance["fetched"] == f"{origin[0]}/{FILE}"
    assert bundle.provenance["licence"] == "none"
    assert bundle.provenance["accuracy"]["top1"] == 0.5
    assert bundle.preprocessing.mean == (0.485, 0.456, 0.406)
    assert bundle.preprocessing.resize_short == 256
    assert not bundle.preprocessing.srgb
    assert caplog.record_tuples == [
        (
            "app.training.weights.origins",
            logging.WARNING,
            f"{NAME} is not pinned: its file is not checked; its SHA-256 is {digest}",
        )
    ]

    network = MobileNetV2(1000, 0.25)
    randomise(network)
    white = np.full((1, 224, 224, 3), 255, np.uint8)
    x = (1 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    with paddle.no_grad():
        image = paddle.to_tensor(x, "float32").reshape([1, 3, 1, 1]).expand([1, 3, 224, 224])
        expected = nn.functional.softmax(network(image)).numpy()
    assert expected.max() > 0.01
    np.testing.assert_allclose(Engine(bundle).infer(white), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("scale", OFFICIAL_SCALES)
def test_the_width_is_read_from_the_shapes(scale: float, labels: Path, tmp_path: Path) -> None:
    network, file = MobileNetV2(3, scale), tmp_path / "some.pdparams"
    # Training with mixed precision can save parameters in float16.
    save(network, file, "float16" if scale == 0.25 else "float32")
    bundle = load_bundle(import_file(file, labels, tmp_path / "bundle"))
    assert bundle.name == f"MobileNetV2_x{scale}".replace(".", "_")
    assert bundle.labels == LABELS
    assert bundle.provenance["fetched_sha256"] == sha256(file)


def test_an_unknown_name_says_which_there_are(sources: Path) -> None:
    with pytest.raises(StartupError, match=rf"no origin 'ResNet'; sources\.toml has {NAME}$"):
        build("ResNet", sources_file=sources)


def test_another_file_than_the_pinned_one_is_refused(
    sources: Path, origin: tuple[str, Path]
) -> None:
    write_sources(sources.parent, f"{origin[0]}/{FILE}", f'sha256 = "{"0" * 64}"')
    with pytest.raises(StartupError, match=f"SHA-256 is {sha256(origin[1] / FILE)}, expected 000"):
        build(NAME, sources_file=sources)
    assert not (sources.parent / NAME).exists()


def test_what_the_origin_has_not_is_one_line(sources: Path, origin: tuple[str, Path]) -> None:
    write_sources(sources.parent, f"{origin[0]}/missing.pdparams")
    with pytest.raises(StartupError, match=r"missing\.pdparams: HTTP 404") as caught:
        build(NAME, sources_file=sources)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_labels_that_do_not_fit(labels: Path, tmp_path: Path) -> None:
    file = save(MobileNetV2(2, 0.25), tmp_path / "two.pdparams")
    with pytest.raises(StartupError, match="3 labels, but the network has 2 classes"):
        import_file(file, labels, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_label_ends_at_a_line_feed_only(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("next\x85line\r\nü\u2028ber\n\n".encode())
    assert read_labels(tmp_path / "labels.txt") == ["next\x85line", "ü\u2028ber"]


def test_labels_may_be_numbered_as_paddleclas_does(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("0 tench, Tinca tinca\n1 goldfish\n")
    assert read_labels(tmp_path / "labels.txt") == ["tench, Tinca tinca", "goldfish"]
    (tmp_path / "labels.txt").write_text("0 to 5 years\n6 to 18 years\n")
    assert read_labels(tmp_path / "labels.txt") == ["0 to 5 years", "6 to 18 years"]
    (tmp_path / "labels.txt").write_text("0\n1\n")
    assert read_labels(tmp_path / "labels.txt") == ["0", "1"]


def test_the_numbers_of_labels_count_not_their_order(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(
        "0 a\n1 b\n10 k\n" + "".join(f"{i} x\n" for i in range(2, 10))
    )
    assert read_labels(tmp_path / "labels.txt") == ["a", "b", *["x"] * 8, "k"]


@pytest.mark.parametrize("text", ["tench\ngoldfish\n", "0 tench\n1 goldfish\n"])
def test_labels_may_begin_with_a_byte_order_mark(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(text, encoding="utf-8-sig")
    assert read_labels(tmp_path / "labels.txt") == ["tench", "goldfish"]


@pytest.mark.parametrize("content", [b"", b"\xff"], ids=["empty", "no text"])
def test_labels_of_no_use(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(StartupError, match=r"labels\.txt: "):
        read_labels(tmp_path / "labels.txt")


def test_another_network_is_one_line(labels: Path, tmp_path: Path) -> None:
    file = save(nn.Linear(2, 3), tmp_path / "linear.pdparams")
    with pytest.raises(StartupError, match=r"linear\.pdparams holds no MobileNetV2") as caught:
        import_file(file, labels)
    assert "\n" not in str(caught.value)


def test_a_lacking_layer_is_one_line(labels: Path, tmp_path: Path) -> None:
    state = MobileNetV2(3, 0.25).state_dict()
    del state["conv9._conv.weight"]
    paddle.save(state, str(tmp_path / "part.pdparams"))
    with pytest.raises(StartupError, match=r"1 of its tensors differ, first conv9\._conv\.weight"):
        import_file(tmp_path / "part.pdparams", labels)


@pytest.mark.parametrize("name", ["missing.pdparams", "missing.h5", "labels.txt", "broken.h5"])
def test_a_file_of_no_use_is_one_line(name: str, labels: Path) -> None:
    labels.with_name("broken.h5").write_bytes(b"broken")
    with pytest.raises(StartupError, match=name) as caught:
        import_file(labels.with_name(name), labels)
    assert "\n" not in str(caught.value)


def test_paddleclas_is_not_needed_and_said_so(labels: Path) -> None:
    with pytest.raises(StartupError, match="run `make paddleclas` once"):
        build_paddleclas("ResNet18", labels)


# Python reports each renaming to audit hooks. The hook kills the process when the finished bundle
# is about to be moved to its path.
KILLED = """
import os, signal, sys
from pathlib import Path
from app.training.weights.build import build

def die(event, arguments):
    if event == "os.rename" and ".building-" in str(arguments[0]):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
build(sys.argv[1], sources_file=Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_killed_build_leaves_nothing_that_looks_whole(sources: Path) -> None:
    command = [sys.executable, "-c", KILLED, NAME, str(sources)]
    child = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert child.returncode == -signal.SIGKILL
    assert f"{NAME} is not pinned: its file is not checked; its SHA-256 is " in child.stderr
    assert not (sources.parent / NAME).exists()
    assert (build(NAME, sources_file=sources) / "inference.yml").exists()


def test_the_origins_of_this_project_are_complete() -> None:
    sources = read_sources()
    assert {name: (s.top1, s.top5) for name, s in sources.items()} == {
        name: pytest.approx((top1 / 100, top5 / 100)) for name, (top1, top5) in ACCURACY.items()
    }
    for source in sources.values():
        assert all((source.what, source.licence, source.version))
        assert bool(source.url) != bool(source.requirement and source.member and source.sha256)
        assert source.scale in OFFICIAL_SCALES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a", "sources.toml: "),
        ("a = 1", "sources.toml: a: Input should be"),
        ("[a]\nwhat = 'b'", "sources.toml: a.format: Field required"),
        (None, "sources.toml is missing"),
    ],
)
def test_sources_of_another_form_are_one_line(
    text: str | None, message: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "sources.toml").write_text(text)
    with pytest.raises(StartupError, match=message) as caught:
        read_sources(tmp_path / "sources.toml")
    assert "\n" not in str(caught.value)
