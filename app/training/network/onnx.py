"""A bundle -> the same bundle with its network for ONNX Runtime as well."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import yaml

from app.errors import StartupError
from app.model.bundle import CONFIG, ONNX, Bundle, load_bundle, sha256
from app.model.engine import Engine
from app.training.network.export import PARITY, probes, replace

_OPSET = 17


def add_onnx(directory: Path) -> Path:
    """Convert the network of the bundle in `directory`, and check and record it; return its file.

    All is done in a copy, which then takes the bundle's place.

    Raises:
        BundleError: the bundle cannot be used.
        StartupError: it cannot be converted, or what comes out answers differently.
    """
    bundle = load_bundle(directory)
    place = directory.resolve()  # a link to it stays one
    with tempfile.TemporaryDirectory(prefix=".building-", dir=place.parent) as temporary:
        built = shutil.copytree(place, Path(temporary) / place.name)
        _convert(bundle, built / ONNX)
        _record(built)
        _check(bundle, load_bundle(built))
        replace(place, built)
    return directory / ONNX


def _convert(bundle: Bundle, file: Path) -> None:
    try:
        import paddle2onnx  # noqa: PLC0415  (not everyone has it)
    except ImportError as error:
        raise StartupError(
            "paddle2onnx is not installed: run `make .venv/onnx`, on Python 3.11 or 3.12"
        ) from error
    file.unlink(missing_ok=True)
    try:
        paddle2onnx.export(
            str(bundle.graph),
            str(bundle.parameters),
            str(file),
            opset_version=_OPSET,
            optimize_tool="None",  # ONNX Runtime does that when it loads
        )
    except Exception as error:
        raise StartupError(f"paddle2onnx cannot convert {bundle.directory}") from error


def _record(directory: Path) -> None:
    """Write the hash down where `load_bundle` looks for it."""
    file = directory / CONFIG
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    hashes = config.setdefault("Provenance", {}).setdefault("sha256", {})
    hashes[ONNX] = sha256(directory / ONNX)
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    file.write_text(text, encoding="utf-8")


def _check(bundle: Bundle, built: Bundle) -> None:
    images = probes(bundle.preprocessing)
    expected = Engine(bundle).infer(images)
    difference = float(np.abs(Engine(built, engine="onnxruntime").infer(images) - expected).max())
    if difference > PARITY:
        raise StartupError(f"{ONNX} answers differently than Paddle, by up to {difference:.2g}")
