"""An ONNX file added to a bundle, so that ONNX Runtime can run its network."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import yaml

from app.errors import StartupError
from app.model.bundle import CONFIG, ONNX, Bundle, load_bundle, sha256
from app.model.engine import Engine
from app.training.network.export import MAX_DIFFERENCE, probes, replace

_OPSET = 17


def add_onnx(directory: Path) -> Path:
    """Convert the network of the bundle in `directory` to ONNX and add the file to the bundle.

    The file's hash is recorded in the bundle. All this happens in a copy, which replaces the bundle
    after it has been checked. A link stays a link, and the bundle that it points to is replaced.

    Returns:
        The path of the ONNX file.

    Raises:
        BundleError: the bundle cannot be used.
        StartupError: paddle2onnx is not installed or cannot convert the network, or the converted
            network gives other scores.
    """
    bundle = load_bundle(directory)
    target = directory.resolve()
    with tempfile.TemporaryDirectory(prefix=".building-", dir=target.parent) as temporary:
        built = shutil.copytree(target, Path(temporary) / target.name)
        _convert(bundle, built / ONNX)
        _record(built)
        _check(bundle, load_bundle(built))
        replace(target, built)
    return directory / ONNX


def _convert(bundle: Bundle, file: Path) -> None:
    try:
        import paddle2onnx  # noqa: PLC0415  (this package is optional)
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
            # ONNX Runtime optimizes the network itself when it loads the file.
            optimize_tool="None",
        )
    except Exception as error:
        raise StartupError(f"paddle2onnx cannot convert {bundle.directory}") from error


def _record(directory: Path) -> None:
    """Write the ONNX file's SHA-256 to the config file, where `load_bundle` checks it."""
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
    if difference > MAX_DIFFERENCE:
        raise StartupError(f"the scores of {ONNX} differ from Paddle's by up to {difference:.2g}")
