"""A moment of a run on disk: arrays and the place in the run, in one file that needs no pickle."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from app.errors import StartupError

_PLACE = "place"

Groups = Mapping[str, Mapping[str, npt.NDArray[Any]]]


class Checkpoint(NamedTuple):
    """Arrays by group ("network", "average", "optimizer") and name, and plain data."""

    groups: Groups
    place: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write it; whatever kills this, `path` is a whole checkpoint, the old one or the new."""
        arrays: dict[str, Any] = {_PLACE: np.array(json.dumps(self.place))}
        for group, named in self.groups.items():
            arrays |= {f"{group}/{name}": array for name, array in named.items()}
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        part.replace(path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `Checkpoint.save` wrote.

    Raises:
        StartupError: it is damaged.
    """
    groups: dict[str, dict[str, npt.NDArray[Any]]] = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            place = json.loads(str(arrays[_PLACE]))
            for key in arrays.files:
                if key != _PLACE:
                    group, _, name = key.partition("/")
                    groups.setdefault(group, {})[name] = arrays[key]
    except (ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise StartupError(f"{path}: not a whole checkpoint") from error
    return Checkpoint(groups, place)
