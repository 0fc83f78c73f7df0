"""The YAML files of PaddleClas and PaddleX that tell how a network is used.

PaddleClas has two kinds: those of `deploy/configs` and those of `ppcls/configs` for training.
PaddleX writes `inference.yml`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import BundleError, StartupError
from app.model.bundle import read_config, section
from app.model.post_process import chosen_operation, read_post_process
from app.model.transform_ops import read_transform_ops
from app.training.data.class_names import read_labels


@dataclass(frozen=True)
class Foreign:
    """What such a file says, with the names of the classes written into it.

    Attributes:
        name: the model's name; None if the file has none.
        pre_process: the section `PreProcess` of a bundle.
        post_process: the section `PostProcess` of a bundle.
    """

    name: str | None
    pre_process: Mapping[str, Any]
    post_process: Mapping[str, Any]


def read_foreign(file: Path, labels: Path | None, beside: Path) -> Foreign:
    """Return what `file` says.

    Args:
        file: the YAML file.
        labels: the file with the names of the classes; None takes the one that `file` names.
        beside: one of the folders in which a file of labels is looked for.

    Raises:
        BundleError: the file cannot be read, or something in it is not supported.
        StartupError: the names of the classes cannot be read.
    """
    try:
        config = read_config(file)
        parts = _training(config) if "Infer" in config else _deployed(config)
        name, pre_process, post_process = parts
        ops = pre_process.get("transform_ops")
        if not isinstance(ops, list) or not all(isinstance(op, Mapping) for op in ops):
            raise BundleError("neither PreProcess.transform_ops nor Infer.transforms is there")
        spec = read_transform_ops(ops)
        kept = [_for_paddlex(op, spec.scale) for op in ops if "DecodeImage" not in op]
        named = _with_labels(post_process, labels, file, beside)
        read_post_process(named)
    except BundleError as error:
        raise BundleError(f"{file}: {error}") from error
    return Foreign(name, {**pre_process, "transform_ops": kept}, named)


def _deployed(config: Mapping[str, Any]) -> tuple[str | None, dict[str, Any], dict[str, Any]]:
    name = section(config, "Global").get("model_name")
    return name, section(config, "PreProcess"), section(config, "PostProcess")


def _training(config: Mapping[str, Any]) -> tuple[str | None, dict[str, Any], dict[str, Any]]:
    infer = section(config, "Infer")
    parameters = section(infer, "PostProcess")
    post_process = {str(parameters.pop("name")): parameters} if "name" in parameters else {}
    named = section(config, "Global").get("pdx_model_name")
    name = named or section(config, "Arch").get("name")
    return name, {"transform_ops": infer.get("transforms")}, post_process


def _for_paddlex(op: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """Return a step as PaddleX knows it too: it calculates no `1.0/255.0`."""
    return {
        name: {**parameters, "scale": scale}
        if name == "NormalizeImage" and parameters
        else parameters
        for name, parameters in op.items()
    }


def _with_labels(
    post_process: Mapping[str, Any], labels: Path | None, file: Path, beside: Path
) -> dict[str, Any]:
    """Return the operation that makes the answer, with the names of the classes in it."""
    chosen = chosen_operation(post_process)
    if chosen is None:
        if labels:
            raise StartupError(
                f"{file} names no PostProcess, so it is not known what the labels are for: "
                "name Topk, ThreshOutput or MultiLabelThreshOutput in it"
            )
        return {}
    operation, parameters = chosen
    return {operation: _named(parameters, labels, file, beside)}


def _named(
    parameters: Mapping[str, Any], labels: Path | None, file: Path, beside: Path
) -> dict[str, Any]:
    """Return the parameters with the names of the classes instead of the name of their file."""
    kept = dict(parameters)
    named = kept.pop("class_id_map_file", None)
    delimiter = kept.pop("delimiter", None) or " "
    if labels is None and (not named or kept.get("label_list")):
        return kept
    names = read_labels(labels or _found(str(named), file, beside), str(delimiter))
    if "label_0" in kept or "label_1" in kept:
        if len(names) != 2:
            raise StartupError(f"{file} names two classes, but there are {len(names)} labels")
        return {**kept, "label_0": names[0], "label_1": names[1]}
    return {**kept, "label_list": names}


def _found(named: str, file: Path, beside: Path) -> Path:
    """Return the file of labels that a YAML file names.

    PaddleClas's files name it as it is seen from the folder in which PaddleClas's tools run, which
    is one above the YAML file.
    """
    folders = [Path(), *file.resolve().parents]
    paths = [*(folder / named for folder in folders), beside / Path(named).name]
    for path in [*paths, file.parent / Path(named).name]:
        if path.is_file():
            return path
    raise StartupError(
        f"{file}: the names of the classes are in {named}, which is not found: "
        "name the file with --labels FILE"
    )
