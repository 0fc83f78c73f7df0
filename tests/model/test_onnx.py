"""The engine ONNX Runtime gives the same answers as Paddle from the same bundle, without Paddle."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage
import yaml
from running import process_name

from app import cli
from app.bench.measure.processes import descendants
from app.errors import BundleError, StartupError
from app.images.decoding import decode
from app.model.bundle import CONFIG, ONNX, load_bundle, sha256
from app.model.engine import Engine
from app.settings import EngineName, Settings
from app.telemetry.metrics import Metrics
from app.workers.pool import WorkerPool

PHOTOS = Path(skimage.__file__).parent / "data"


def with_onnx(bundle: Path, directory: Path) -> Path:
    """Return a copy of the bundle that also has the file for ONNX Runtime."""
    pytest.importorskip("paddle2onnx", reason="paddle2onnx has no wheel for this Python")
    from app.training.network.onnx import add_onnx  # noqa: PLC0415  (imports Paddle)

    copy = shutil.copytree(bundle, directory)
    assert add_onnx(copy) == copy / ONNX
    return copy


@pytest.fixture(scope="module")
def onnx_bundle(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_onnx(small_bundle, tmp_path_factory.mktemp("onnx") / "small")


@pytest.fixture
def bundle(onnx_bundle: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(onnx_bundle, tmp_path / "bundle")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_it_answers_as_paddle_does(onnx_bundle: Path, count: int) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (count, 4, 4, 3), np.uint8)
    images = colours.repeat(16, axis=1).repeat(16, axis=2)  # (count, 64, 64, 3)
    checked = load_bundle(onnx_bundle)
    expected = Engine(checked).infer(images)
    scores = Engine(checked, engine="onnxruntime").infer(images)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.slow
def test_real_photos_get_the_same_answers(default_bundle: Path, tmp_path: Path) -> None:
    checked = load_bundle(with_onnx(default_bundle, tmp_path / "bundle"))
    names = ("chelsea.png", "coffee.png", "rocket.jpg", "camera.png", "motorcycle_left.png")
    photos = [decode((PHOTOS / name).read_bytes(), checked.preprocessing, 10**8) for name in names]
    images = np.stack([photo.pixels for photo in photos])
    expected = Engine(checked).infer(images)
    scores = Engine(checked, engine="onnxruntime").infer(images)
    assert scores.argmax(1).tolist() == expected.argmax(1).tolist()
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_the_rest_of_the_bundle_stays_and_the_hash_is_recorded(
    small_bundle: Path, onnx_bundle: Path
) -> None:
    before, after = (
        yaml.safe_load((bundle / CONFIG).read_text("utf-8"))
        for bundle in (small_bundle, onnx_bundle)
    )
    assert after["Provenance"]["sha256"].pop(ONNX) == sha256(onnx_bundle / ONNX)
    assert after == before
    assert {file.name for file in onnx_bundle.iterdir()} == {
        *(file.name for file in small_bundle.iterdir()),
        ONNX,
    }
    assert list(onnx_bundle.parent.iterdir()) == [onnx_bundle]
    assert load_bundle(onnx_bundle).version == load_bundle(small_bundle).version


def test_the_bundle_may_be_a_link(bundle: Path) -> None:
    from app.training.network.onnx import add_onnx  # noqa: PLC0415  (imports Paddle)

    (bundle / ONNX).unlink()
    link = bundle.with_name("current")
    link.symlink_to(bundle.name)
    assert add_onnx(link) == link / ONNX
    assert link.readlink() == Path(bundle.name)
    assert (bundle / ONNX).is_file()


def test_another_network_in_its_place_is_noticed(bundle: Path) -> None:
    content = bytearray((bundle / ONNX).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / ONNX).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{ONNX} .*SHA-256 differs"):
        load_bundle(bundle)


def test_a_bundle_without_the_file_says_how_to_get_it(small_bundle: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(small_bundle, tmp_path / "a bundle")
    message = rf"has no {ONNX}: run `\.venv/bin/python -m app weights onnx '{directory}'` once"
    with pytest.raises(StartupError, match=message):
        Engine(load_bundle(directory), engine="onnxruntime")


def test_without_paddle2onnx_it_says_how_to_get_it(
    small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.training.network.onnx import add_onnx  # noqa: PLC0415  (imports Paddle)

    monkeypatch.setitem(sys.modules, "paddle2onnx", None)
    with pytest.raises(StartupError, match=r"not installed: run `make \.venv/onnx`, on Python 3"):
        add_onnx(small_bundle)


def test_a_damaged_file_is_one_line(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load((bundle / CONFIG).read_text("utf-8"))
    del config["Provenance"]["sha256"]
    (bundle / CONFIG).write_text(yaml.safe_dump(config), "utf-8")
    (bundle / ONNX).write_bytes(b"no network")
    with pytest.raises(StartupError, match=f"^ONNX Runtime cannot load .*{ONNX}$"):
        Engine(load_bundle(bundle), engine="onnxruntime")
    assert capfd.readouterr() == ("", "")


def test_it_has_no_gpu(onnx_bundle: Path) -> None:
    with pytest.raises(StartupError, match="on the CPU only"):
        Engine(load_bundle(onnx_bundle), "gpu", engine="onnxruntime")


def test_where_the_library_is_missing_it_is_named(
    onnx_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "app.model.onnx_engine", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(StartupError, match="the engine is onnxruntime, but it is not installed"):
        Engine(load_bundle(onnx_bundle), engine="onnxruntime")


def mapped() -> str:
    """Return the files that the worker has mapped into its memory."""
    own = descendants(os.getpid())
    (worker,) = (pid for pid in own if process_name(pid) == "worker")
    return Path(f"/proc/{worker}/maps").read_text()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("engine", "own", "other"),
    [("paddle", "libpaddle", "onnxruntime"), ("onnxruntime", "onnxruntime", "libpaddle")],
)
async def test_a_worker_answers_and_loads_its_own_library_only(
    onnx_bundle: Path, engine: EngineName, own: str, other: str
) -> None:
    checked = load_bundle(onnx_bundle)
    photos = list(np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8))
    settings = Settings(engine=engine, workers=1, max_batch_size=4)
    async with WorkerPool(checked, settings, Metrics()) as pool:
        worker = pool.take()
        assert worker
        # The worker pads these three photos to a batch of 4.
        scores, _ = await worker.infer([pool.slots.put(photo) for photo in photos])
        loaded = mapped()
    np.testing.assert_allclose(scores, Engine(checked).infer(np.stack(photos)), atol=1e-4)
    assert own in loaded
    assert other not in loaded


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    """Run `python -m app ...` in this process; return its exit code and its output."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["app", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return ended.value.code or 0, capsys.readouterr().out


def test_the_command_adds_it(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (bundle / ONNX).stat().st_ino
    code, out = run(capsys, "weights", "onnx", str(bundle))
    assert code == 0
    assert out.splitlines()[-1] == f"built {bundle / ONNX}"
    assert (bundle / ONNX).stat().st_ino != before
    load_bundle(bundle)


def test_the_command_line_predicts_with_it(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundle / "inference.pdiparams").write_bytes(b"nothing that Paddle could load")
    config = yaml.safe_load((bundle / CONFIG).read_text("utf-8"))
    del config["Provenance"]["sha256"]
    (bundle / CONFIG).write_text(yaml.safe_dump(config), "utf-8")
    monkeypatch.setenv("CLASSIFIER_ENGINE", "onnxruntime")
    photo = str(PHOTOS / "chelsea.png")
    code, out = run(capsys, "predict", "--json", photo, "--model-dir", str(bundle))
    assert code == 0
    assert len(json.loads(out)["predictions"]) == 3
