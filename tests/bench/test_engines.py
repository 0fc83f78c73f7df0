"""The comparison of the engines on this machine, and what it recommends."""

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from app.bench.engines import Figures, Options, _recommended, compare_engines
from app.bench.measure import baseline
from app.errors import StartupError
from app.settings import read_settings
from app.training.network.openvino import add_openvino

CONSOLE = Console(record=True, width=100)


@pytest.mark.slow
def test_each_engine_that_runs_here_gets_its_figures(
    small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline, "_SECONDS", 0.05)
    add_openvino(shutil.copytree(small_bundle, tmp_path / "bundle"))
    settings = read_settings(model_dir=tmp_path / "bundle")
    document = compare_engines(settings, Options(rounds=2), CONSOLE)
    for engine in ("paddle", "openvino"):
        figures = document["engines"][engine]
        assert all(ms > 0 for ms in figures["cpu_ms"].values())
        assert figures["start_s"] > 0
        assert figures["memory_mb"] > 10
        assert figures["same_class"] == 1
        assert figures["difference"] < 1e-4
    assert "inference.onnx" in document["missing"]["onnxruntime"]
    assert document["recommended"] in {"paddle", "openvino"}
    text = CONSOLE.export_text()
    assert f"recommended: CLASSIFIER_ENGINE={document['recommended']}" in text
    assert "onnxruntime: " in text


def test_without_an_engine_that_can_run_it_the_reasons_are_named(small_bundle: Path) -> None:
    settings = read_settings(model_dir=small_bundle, device="gpu")
    with pytest.raises(StartupError, match=f"no engine can run {small_bundle}: .*gpu"):
        compare_engines(settings, Options(), CONSOLE)


def figures(*cpu_ms: float) -> Figures:
    return Figures(dict(enumerate(cpu_ms, start=1)), 1, None, None, None)


def test_the_quickest_float32_engine_at_its_best_batch_size_is_recommended() -> None:
    measured = {
        "paddle": figures(9, 8),
        "paddle-bfloat16": figures(3, 2),
        "onnxruntime": figures(7, 7),
        "openvino": figures(8, 6),
    }
    assert _recommended(measured) == "openvino"
    del measured["openvino"]
    assert _recommended(measured) == "onnxruntime"
    assert _recommended({"paddle-bfloat16": figures(3, 2)}) is None
