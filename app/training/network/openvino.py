"""OpenVINO's two files added to a bundle, so that OpenVINO can run its network."""

from pathlib import Path

from app.errors import StartupError
from app.model.bundle import OPENVINO, OPENVINO_WEIGHTS, Bundle
from app.training.network.converted import add_files


def add_openvino(directory: Path) -> Path:
    """Translate the network of the bundle in `directory` and add the files to the bundle.

    Returns:
        The path of `inference.xml`.

    Raises:
        BundleError, StartupError: see `add_files`; or OpenVINO is not installed.
    """
    return add_files(directory, [OPENVINO, OPENVINO_WEIGHTS], "openvino", _convert)


def _convert(bundle: Bundle, file: Path) -> None:
    try:
        # The package is optional.
        from app.model.openvino_core import openvino  # noqa: PLC0415
        from app.training.network.translation import translated  # noqa: PLC0415
    except ImportError as error:
        raise StartupError("openvino is not installed: run `make .venv/openvino`") from error
    try:
        if bundle.graph.suffix == ".json":
            model = translated(bundle.graph, bundle.parameters)
        else:
            model = openvino.Core().read_model(bundle.graph, bundle.parameters)
            # OpenVINO names the values that are computed, but not the parameters.
            for op in model.get_ops():
                if op.get_type_name() == "Constant":
                    op.output(0).add_names({op.get_friendly_name()})
        openvino.save_model(model, file, compress_to_fp16=False)
    except Exception as error:
        raise StartupError(f"OpenVINO cannot take {bundle.directory}: {error}") from error
