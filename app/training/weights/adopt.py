"""`weights adopt`: a network that PaddleClas or PaddleX has exported becomes a complete bundle."""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from app.disk import room_for
from app.errors import StartupError
from app.model import golden
from app.model.bundle import CONFIG, GRAPHS, PARAMETERS, load_bundle
from app.model.engine import Engine
from app.model.golden import Golden
from app.training.network.config import write_config
from app.training.weights.foreign import read_foreign


def adopt(
    directory: Path,
    config: Path | None = None,
    labels: Path | None = None,
    target: Path | None = None,
) -> tuple[Path, str]:
    """Make a bundle of an exported network.

    The network runs once, and its scores become the golden answers. Nothing is overwritten: the
    bundle lies in a new directory, or `directory` gets the `inference.yml` that it lacks.

    Args:
        directory: the folder with the network's graph and weights.
        config: a YAML file of PaddleClas or PaddleX; by default the folder's `inference.yml`.
        labels: a file with one class name per line; by default the one that the YAML file names.
        target: the path of the new bundle; by default `directory` itself.

    Returns:
        The bundle's path, and what is doubtful about it, or an empty text.

    Raises:
        BundleError: something in the YAML file is not supported.
        StartupError: a file is missing or would be overwritten, the labels do not fit the network,
            or the network does not run.
    """
    source = directory.resolve()
    files = _network(source)
    file = _config(source, config)
    final = target or source
    if target and target.exists():
        raise StartupError(f"{target} is there already and is not overwritten; choose another path")
    if not target and (source / CONFIG).exists():
        raise StartupError(
            f"{source} has an {CONFIG}, which is not overwritten: "
            "name the directory of the new bundle with --to DIR"
        )
    foreign = read_foreign(file, labels, source)
    sections = {
        "Global": {"model_name": foreign.name or source.name},
        "PreProcess": foreign.pre_process,
        **({"PostProcess": foreign.post_process} if foreign.post_process else {}),
    }
    provenance = {"source": f"adopted from {source.name}", "adopted_with": file.name}
    parent = target.absolute().parent if target else source
    parent.mkdir(parents=True, exist_ok=True)
    size = sum(path.stat().st_size for path in files) if target else None
    with (
        room_for(final, size),
        tempfile.TemporaryDirectory(prefix=".adopting-", dir=parent) as temporary,
    ):
        built = Path(temporary) / final.name
        built.mkdir()
        for path in files:
            if target:
                shutil.copyfile(path, built / path.name)
            else:
                (built / path.name).symlink_to(path)
        write_config(built, sections, provenance, None)
        bundle = load_bundle(built)
        try:
            engine = Engine(bundle)
        except StartupError as error:
            reason = str(error).replace(str(bundle.directory), str(source))
            raise StartupError(f"{source} does not fit {file}: {reason}") from error
        picture = golden.drawn_picture(*bundle.preprocessing.crop)[np.newaxis]
        write_config(built, sections, provenance, Golden.record(engine.infer(picture)[0]))
        load_bundle(built)
        if target:
            built.rename(target)
        else:
            (built / CONFIG).rename(source / CONFIG)
    return final, engine.warning


def _network(directory: Path) -> list[Path]:
    """Return the files of the network.

    Raises:
        StartupError: one is missing.
    """
    if not directory.is_dir():
        raise StartupError(f"{directory}: no such directory")
    graph = next((path for name in GRAPHS if (path := directory / name).is_file()), None)
    if graph is None:
        raise StartupError(
            f"{directory} has neither {GRAPHS[0]} nor {GRAPHS[1]}: name the folder that "
            "PaddleClas's tools/export_model.py has written"
        )
    parameters = directory / PARAMETERS
    if not parameters.is_file():
        raise StartupError(f"{directory}: {PARAMETERS} is missing")
    return [graph, parameters]


def _config(directory: Path, config: Path | None) -> Path:
    """Return the YAML file that tells how the network is used.

    Raises:
        StartupError: there is none.
    """
    file = config or directory / CONFIG
    if file.is_file():
        return file
    if config:
        raise StartupError(f"{config}: no such file")
    raise StartupError(
        f"{directory} has no {CONFIG}, so it is not known how the network sees a photo: name the "
        "network's YAML file of PaddleClas with --config FILE, the one for training or one of "
        "deploy/configs, such as inference_cls.yaml; or export again with "
        "`-o Global.export_for_fd=True`"
    )
