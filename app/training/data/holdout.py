"""The photos of a run: which are learned from and which are held out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import StartupError
from app.training.data.class_names import fits_a_line
from app.training.data.dataset import (
    SUFFIXES,
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
    """What a run learns from and what it is held against; class ids are places in `classes`."""

    classes: tuple[str, ...]
    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]

    @property
    def all(self) -> tuple[Sample, ...]:
        """Every photo, the training ones first."""
        return self.train + self.validation

    def without(self, broken: Sequence[Path]) -> "Photos":
        """Return the same without these files.

        Raises:
            StartupError: of a class nothing is left to learn from, or nothing to hold it against.
        """
        bad = set(broken)
        train, validation = (
            tuple(sample for sample in part if sample.path not in bad)
            for part in (self.train, self.validation)
        )
        if len(self.classes) < 2 or not train or not validation:
            raise StartupError("training needs two classes and photos on both sides of the split")
        learned = {sample.class_id for sample in train}
        if lacking := [name for i, name in enumerate(self.classes) if i not in learned]:
            raise StartupError(
                f"no photo to learn from that can be read: {few(lacking)}; "
                f"files count that end with {', '.join(sorted(SUFFIXES))}"
            )
        return Photos(self.classes, train, validation)


def read_photos(
    place: Path, share: float, seed: int, classes: Sequence[str] | None = None
) -> Photos:
    """Read DIR/train and DIR/val (or DIR/test), or hold out `share` of each class of DIR.

    `classes` are their names in order, where they are not those of the folders.

    Raises:
        StartupError: it cannot be read, has parts but none to learn from, or has a class in one
            part that the other has not.
    """
    parts = find_parts(place)
    if "train" not in parts and place not in parts.values():
        raise StartupError(f"{place} has {', '.join(parts)}, but no train to learn from")
    if "train" in parts and len(parts) > 1:
        learned = read_dataset(parts["train"], classes)
        held_out = read_dataset(parts.get("val") or parts["test"], learned.classes)
        return Photos(learned.classes, learned.samples, held_out.samples)
    return _hold_out(read_dataset(parts.get("train") or place, classes), share, seed)


def _hold_out(data: Dataset, share: float, seed: int) -> Photos:
    chosen = choose(data, share, seed)
    train = tuple(sample for sample in data.samples if sample.path not in chosen)
    validation = tuple(sample for sample in data.samples if sample.path in chosen)
    return Photos(data.classes, train, validation)


def write_lists(photos: Photos, folder: Path) -> None:
    """Write `train_list.txt` and `val_list.txt` as PaddleClas reads them.

    Raises:
        StartupError: a photo's name cannot stand in them; there is neither then.
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
    """Read back what `write_lists` wrote."""
    train, validation = (
        read_dataset(folder / name, classes).samples for name in (TRAIN_LIST, VALIDATION_LIST)
    )
    return Photos(classes, train, validation)
