"""A checkpoint of a run: its arrays and its position, in one file that needs no pickle."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from app.disk import replacing
from app.errors import StartupError

_PLACE = "place"
# In the file, each array has headers of about this many bytes.
_HEADERS = 512

Groups = Mapping[str, Mapping[str, npt.NDArray[Any]]]


class Checkpoint(NamedTuple):
    """The state of a run.

    Attributes:
        groups: arrays by group (such as "network", "average", "optimizer") and by name.
        place: the position in the run, as plain data for JSON.
    """

    groups: Groups
    place: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the checkpoint to `path`.

        If the process is killed at any time, `path` holds a whole checkpoint: the old or the new.

        Raises:
            DiskFull: the checkpoint does not fit on the disk; the old one is still there.
        """
        arrays: dict[str, Any] = {_PLACE: np.array(json.dumps(self.place))}
        for group, named in self.groups.items():
            arrays |= {f"{group}/{name}": array for name, array in named.items()}
        size = sum(array.nbytes + _HEADERS for array in arrays.values())
        with replacing(path, size) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)


def load_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint that `Checkpoint.save` wrote to `path`.

    Raises:
        StartupError: the file is damaged.
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
        raise StartupError(f"{path} is damaged: start a new run") from error
    return Checkpoint(groups, place)
