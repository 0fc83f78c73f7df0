"""The network of a bundle, written once more in the format of another library."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from app.disk import reserve, room_for
from app.errors import StartupError
from app.model.bundle import CONFIG, Bundle, load_bundle, sha256
from app.model.engine import Engine
from app.settings import EngineName
from app.training.network.export import MAX_DIFFERENCE, probes, replace

# Writes the network of a bundle to a file. It may write further files beside that one.
Convert = Callable[[Bundle, Path], None]


def add_files(directory: Path, names: Sequence[str], engine: EngineName, convert: Convert) -> Path:
    """Add files for another engine to the bundle in `directory`, and record their hashes.

    All this happens in a copy, which replaces the bundle after its answers have been compared with
    Paddle's. A link stays a link, and the bundle that it points to is replaced.

    Args:
        directory: the bundle's path.
        names: the files that `convert` writes; it gets the path of the first one.
        engine: the engine that reads the files.
        convert: writes the files.

    Returns:
        The path of the first file.

    Raises:
        BundleError: the bundle cannot be used.
        StartupError: the network cannot be converted, or with `engine` it gives other scores.
    """
    bundle = load_bundle(directory)
    with changed_copy(directory) as built:
        for name in names:
            (built / name).unlink(missing_ok=True)
        convert(bundle, built / names[0])
        record(built, names)
        _check(bundle, load_bundle(built), engine)
    return directory / names[0]


@contextmanager
def changed_copy(directory: Path) -> Iterator[Path]:
    """Let the caller change a copy of a bundle, which then replaces the bundle.

    If the caller raises an error, nothing is replaced.

    Raises:
        DiskFull: the copy or what the caller adds does not fit on the disk.
    """
    target = directory.resolve()
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    with (
        room_for(directory, size),
        tempfile.TemporaryDirectory(prefix=".building-", dir=target.parent) as temporary,
    ):
        reserve(Path(temporary), size)
        built = shutil.copytree(target, Path(temporary) / target.name)
        yield built
        replace(target, built)


def record(directory: Path, names: Sequence[str], further: Mapping[str, Any] | None = None) -> None:
    """Write the SHA-256 of files to the config file, where `load_bundle` checks them.

    Args:
        directory: the bundle's path.
        names: the files.
        further: records that are added to the provenance.
    """
    file = directory / CONFIG
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    provenance = config.setdefault("Provenance", {})
    provenance.setdefault("sha256", {}).update({name: sha256(directory / name) for name in names})
    provenance.update(further or {})
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    file.write_text(text, encoding="utf-8")


def _check(bundle: Bundle, built: Bundle, engine: EngineName) -> None:
    images = probes(bundle.preprocessing)
    expected = Engine(bundle).infer(images)
    difference = float(np.abs(Engine(built, engine=engine).infer(images) - expected).max())
    if difference > MAX_DIFFERENCE:
        raise StartupError(
            f"with the engine {engine} the scores differ from Paddle's by up to {difference:.2g}"
        )
