"""The photos of a run: those to learn from, and those held out for validation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import StartupError
from app.images.files import SUFFIXES
from app.training.data.class_names import fits_a_line
from app.training.data.dataset import (
    Dataset,
    Sample,
    few,
    find_parts,
    read_dataset,
)
from app.training.data.split import choose

TRAIN_LIST, VALIDATION_LIST = "train_list.txt", "val_list.txt"


@dataclass(frozen=True)
class Photos:
    """The photos of a run.

    Attributes:
        classes: the names of the classes; a class id is an index into them.
        train: the photos to learn from.
        validation: the held-out photos.
    """

    classes: tuple[str, ...]
    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]

    @property
    def all(self) -> tuple[Sample, ...]:
        """All photos, the training photos first."""
        return self.train + self.validation

    def without(self, broken: Sequence[Path]) -> "Photos":
        """Return the photos without the `broken` files.

        Raises:
            StartupError: there are fewer than two classes, no photos are held out, or a class has
                no photo left to learn from.
        """
        bad = set(broken)
        train, validation = (
            tuple(sample for sample in part if sample.path not in bad)
            for part in (self.train, self.validation)
        )
        if len(self.classes) < 2 or not train or not validation:
            raise StartupError(
                "training needs two classes or more, photos to learn from and held-out photos"
            )
        learned = {sample.class_id for sample in train}
        if lacking := [name for i, name in enumerate(self.classes) if i not in learned]:
            raise StartupError(
                f"no photo to learn from that can be read: {few(lacking)}; "
                f"files count that end with {', '.join(sorted(SUFFIXES))}"
            )
        return Photos(self.classes, train, validation)


def read_photos(
    path: Path, share: float, seed: int, classes: Sequence[str] | None = None
) -> Photos:
    """Read DIR/train and DIR/val (or DIR/test), or hold out `share` of each class of DIR.

    Args:
        path: the data set DIR, or a list file.
        share: the share of photos to hold out if there is no val or test, between 0 and 1.
        seed: another number holds out other photos.
        classes: the names of the classes in order, if they are not the names of the folders.

    Raises:
        StartupError: the data set cannot be read, has parts but no train, or has a held-out class
            that train lacks.
    """
    parts = find_parts(path)
    if "train" not in parts and path not in parts.values():
        raise StartupError(f"{path} has {', '.join(parts)}, but no train to learn from")
    if "train" in parts and len(parts) > 1:
        learned = read_dataset(parts["train"], classes)
        held_out = read_dataset(parts.get("val") or parts["test"], learned.classes)
        return Photos(learned.classes, learned.samples, held_out.samples)
    return _hold_out(read_dataset(parts.get("train") or path, classes), share, seed)


def _hold_out(data: Dataset, share: float, seed: int) -> Photos:
    chosen = choose(data, share, seed)
    train = tuple(sample for sample in data.samples if sample.path not in chosen)
    validation = tuple(sample for sample in data.samples if sample.path in chosen)
    return Photos(data.classes, train, validation)


def write_lists(photos: Photos, folder: Path) -> None:
    """Write `train_list.txt` and `val_list.txt` as PaddleClas reads them.

    Raises:
        StartupError: the path of a photo is not one line of UTF-8; no list is written then.
    """
    lists = {TRAIN_LIST: _lines(photos.train), VALIDATION_LIST: _lines(photos.validation)}
    for name, lines in lists.items():
        (folder / name).write_text(lines, encoding="utf-8", newline="\n")


def _lines(samples: Sequence[Sample]) -> str:
    paths = [str(sample.path.absolute()) for sample in samples]
    if odd := [path for path in paths if not fits_a_line(path)]:
        raise StartupError(
            f"{odd[0]!r}: rename it: "
            "a name with a line break, or not in UTF-8, cannot stand in a list of photos"
        )
    return "".join(
        f"{path} {sample.class_id}\n" for path, sample in zip(paths, samples, strict=True)
    )


def read_lists(folder: Path, classes: tuple[str, ...]) -> Photos:
    """Return the photos that `write_lists` wrote into `folder`."""
    train, validation = (
        read_dataset(folder / name, classes).samples for name in (TRAIN_LIST, VALIDATION_LIST)
    )
    return Photos(classes, train, validation)
