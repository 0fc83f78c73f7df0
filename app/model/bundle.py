"""A model bundle: the directory that PaddleClas and PaddleX export, read and checked.

`inference.json` (or the older `inference.pdmodel`) and `inference.pdiparams` hold the network, and
`inference.yml` holds its preprocessing and labels. Our own records are in the same yml under
`Provenance`, and `PreProcess.colours` may ask for sRGB; the other readers ignore both keys. The
directory may also have the same network for other engines: `inference.onnx` for ONNX Runtime,
`inference.xml` with `inference.bin` for OpenVINO, and for these two in 8 bits
`inference_int8.onnx`, and `inference_int8.xml` with `inference_int8.bin`. `unfamiliar.npy` holds
what it takes to tell photos of other things.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from app.errors import BundleError
from app.images.preprocessing import Preprocessing
from app.model.golden import Golden
from app.model.post_process import PostProcess, read_post_process
from app.model.transform_ops import read_transform_ops
from app.model.unfamiliarity import UNFAMILIAR, Limit
from app.settings import EngineName

CONFIG = "inference.yml"
PARAMETERS = "inference.pdiparams"
GRAPHS = ("inference.json", "inference.pdmodel")
ONNX = "inference.onnx"
# OpenVINO keeps a network's structure and its weights in two files.
OPENVINO = "inference.xml"
OPENVINO_WEIGHTS = "inference.bin"
INT8 = "inference_int8.xml"
INT8_WEIGHTS = "inference_int8.bin"
ONNX_INT8 = "inference_int8.onnx"
# For each engine that computes in 8 bits, the file of its weights and its record in the provenance.
INT8_FILES: Mapping[EngineName, str] = {
    "openvino-int8": INT8_WEIGHTS,
    "onnxruntime-int8": ONNX_INT8,
}
INT8_RECORDS: Mapping[EngineName, str] = {
    "openvino-int8": "int8",
    "onnxruntime-int8": "int8_onnxruntime",
}
# What other engines than Paddle need. A bundle may have any of these files.
FOR_OTHER_ENGINES = (ONNX, OPENVINO, OPENVINO_WEIGHTS, INT8, INT8_WEIGHTS, ONNX_INT8)
SRGB = "sRGB"


@dataclass(frozen=True)
class Bundle:
    """A checked bundle. It holds no weights, so it is cheap to pass to another process.

    Attributes:
        directory: the bundle's directory, with all links resolved.
        graph: the file of the network's structure, `.json` or `.pdmodel`.
        name: the model's name.
        version: the first 12 hex digits of the SHA-256 of the parameters' file.
        preprocessing: the steps from an upload to the network's input.
        post_process: how the network's scores become the classes of an answer, and their names.
        golden: answers that the network must give for a drawn picture; None if none are recorded.
        int8_golden: the same for the networks in 8 bits that the bundle has, by their engines.
        limit: how far from the known classes a photo may be; None if the bundle cannot tell.
        provenance: origin, licence, hashes and accuracy as recorded when the bundle was built.
    """

    directory: Path
    graph: Path
    name: str
    version: str
    preprocessing: Preprocessing
    post_process: PostProcess
    golden: Golden | None
    int8_golden: Mapping[EngineName, Golden]
    limit: Limit | None
    provenance: Mapping[str, Any]

    @property
    def parameters(self) -> Path:
        """The file of the weights."""
        return self.directory / PARAMETERS

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes' names in the order of the network's output; empty if there are none."""
        return self.post_process.labels

    def label(self, class_id: int) -> str:
        """Return the name of the class, or its number if the bundle has no names."""
        return self.post_process.label(class_id)


def load_bundle(directory: Path) -> Bundle:
    """Return the checked bundle in `directory`.

    A link is resolved once, so that all files come from one bundle even if the link changes.

    Raises:
        BundleError: a file is missing, unreadable, not of the known form, or not the recorded one.
    """
    try:
        return _load(directory)
    except OSError as error:
        raise BundleError(f"{error.filename or directory}: {error.strerror}") from error


def _load(directory: Path) -> Bundle:
    # A link that leads to itself is no directory either; `resolve` would raise another error.
    if not directory.is_dir():
        raise BundleError(f"{directory}: no such model directory")
    directory = directory.resolve()
    graph = next((p for name in GRAPHS if (p := directory / name).is_file()), None)
    if graph is None:
        raise BundleError(f"{directory}: it has neither {GRAPHS[0]} nor {GRAPHS[1]}")
    for name in (PARAMETERS, CONFIG):
        if not (directory / name).is_file():
            raise BundleError(f"{directory}: {name} is missing")
    try:
        return _bundle(directory, graph, read_config(directory / CONFIG))
    except BundleError as error:
        raise BundleError(f"{directory / CONFIG}: {error}") from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_config(path: Path) -> dict[str, Any]:
    """Return the contents of a YAML file.

    Raises:
        BundleError: it is not a mapping in YAML.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        # A ValueError means bytes that are not UTF-8, or a date that does not exist.
        raise BundleError("not valid YAML") from error
    except RecursionError as error:
        raise BundleError("nested too deeply") from error
    if not isinstance(config, dict):
        raise BundleError("not a mapping")
    return config


def _bundle(directory: Path, graph: Path, config: dict[str, Any]) -> Bundle:
    provenance = section(config, "Provenance")
    files = (graph.name, PARAMETERS, UNFAMILIAR, *FOR_OTHER_ENGINES)
    hashes = {name: sha256(file) for name in files if (file := directory / name).is_file()}
    for name, expected in section(provenance, "sha256").items():
        if hashes.get(name, expected) != expected:
            raise BundleError(f"{name} is not the file recorded here: its SHA-256 differs")
    preprocess = section(config, "PreProcess")
    ops = preprocess.get("transform_ops")
    if not isinstance(ops, list) or not all(isinstance(op, dict) for op in ops):
        raise BundleError("PreProcess.transform_ops is missing")
    golden = provenance.get("golden")
    int8_golden = {
        engine: Golden.parse(answers)
        for engine, record in INT8_RECORDS.items()
        if (answers := section(provenance, record).get("golden"))
    }
    unfamiliar = provenance.get("unfamiliar")
    return Bundle(
        directory=directory,
        graph=graph,
        name=str(section(config, "Global").get("model_name") or directory.name),
        version=hashes[PARAMETERS][:12],
        preprocessing=read_transform_ops(ops, _srgb(preprocess)),
        post_process=read_post_process(section(config, "PostProcess")),
        golden=Golden.parse(golden) if golden else None,
        int8_golden=int8_golden,
        limit=Limit.parse(unfamiliar) if unfamiliar else None,
        provenance=provenance,
    )


def section(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a section of a YAML file; an empty one if it is not there.

    Raises:
        BundleError: it is not a mapping.
    """
    found = config.get(key) or {}
    if not isinstance(found, dict):
        raise BundleError(f"{key} is not a mapping")
    return found


def _srgb(preprocess: Mapping[str, Any]) -> bool:
    colours = preprocess.get("colours")
    if colours not in (None, SRGB):
        raise BundleError(f"unknown PreProcess.colours {colours!r}: only {SRGB} is supported")
    return colours == SRGB
