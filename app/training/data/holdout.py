"""The photos of a run: those to learn from, and those held out for validation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.disk import write_text
from app.errors import StartupError
from app.host import granted_cores
from app.images.files import SUFFIXES
from app.training.copies.groups import contents_by_file
from app.training.copies.inspection import BrokenPhoto, CheckedPhoto, divide, inspect
from app.training.data.class_names import fits_a_line
from app.training.data.dataset import (
    Dataset,
    Sample,
    few,
    find_parts,
    list_photos,
    read_dataset,
)
from app.training.data.split import choose

TRAIN_LIST, VALIDATION_LIST = "train_list.txt", "val_list.txt"
_HELD_OUT = "held out"


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

    @property
    def parts(self) -> dict[str, Dataset]:
        """The photos as parts of a data set."""
        return {
            "train": Dataset(self.classes, self.train),
            _HELD_OUT: Dataset(self.classes, self.validation),
        }

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
        if len(self.classes) == 1:
            raise StartupError(
                f"there is only one class, {self.classes[0]}: training needs two or more, "
                "each in a folder of its own"
            )
        if not train or not validation:
            raise StartupError("training needs photos to learn from and held-out photos")
        learned = {sample.class_id for sample in train}
        if lacking := [name for i, name in enumerate(self.classes) if i not in learned]:
            raise StartupError(
                f"no photo to learn from that can be read: {few(lacking)}; "
                f"files count that end with {', '.join(sorted(SUFFIXES))}"
            )
        return Photos(self.classes, train, validation)


def read_photos(path: Path, classes: Sequence[str] | None = None) -> Photos:
    """Read DIR/train and DIR/val (or DIR/test), or DIR alone, of which nothing is held out yet.

    Args:
        path: the data set DIR, or a list file.
        classes: the names of the classes in order, if they are not the names of the folders.

    Raises:
        StartupError: the data set cannot be read, has parts but no train, or has a held-out class
            that train lacks.
    """
    parts = find_parts(path)
    if "train" not in parts and path not in parts.values():
        raise StartupError(f"{path} has {', '.join(parts)}, but no train to learn from")
    learned = read_dataset(parts.get("train") or path, classes)
    if "train" in parts and len(parts) > 1:
        held_out = read_dataset(parts.get("val") or parts["test"], learned.classes)
        return Photos(learned.classes, learned.samples, held_out.samples)
    return Photos(learned.classes, learned.samples, ())


def hold_out(
    photos: Photos, outcomes: Sequence[CheckedPhoto | BrokenPhoto], share: float, seed: int
) -> tuple[Photos, list[CheckedPhoto | BrokenPhoto]]:
    """Hold out a share of each class, unless photos are held out already.

    Photos that are copies or near-duplicates of each other stay on the same side.

    Args:
        photos: the photos of `read_photos`.
        outcomes: of decoding all of them.
        share: the share of photos to hold out, between 0 and 1.
        seed: another number holds out other photos.

    Returns:
        The photos, and the outcomes with the parts in which the photos are now.
    """
    if photos.validation:
        return photos, list(outcomes)
    data = Dataset(photos.classes, photos.train)
    chosen = choose(data, share, seed, contents_by_file(divide(outcomes)[0]))
    train = tuple(sample for sample in data.samples if sample.path not in chosen)
    validation = tuple(sample for sample in data.samples if sample.path in chosen)
    placed = [
        replace(outcome, part=_HELD_OUT)
        if isinstance(outcome, CheckedPhoto) and outcome.path in chosen
        else outcome
        for outcome in outcomes
    ]
    return Photos(photos.classes, train, validation), placed


def read_divided(
    path: Path, share: float, seed: int, max_pixels: int, classes: Sequence[str] | None = None
) -> Photos:
    """Read a data set, decode its photos, and hold some out, unless some are held out already.

    Raises:
        StartupError: the data set cannot be used; see `read_photos`.
    """
    photos = read_photos(path, classes)
    if photos.validation:
        return photos
    outcomes = list(inspect(list_photos(photos.parts), granted_cores(), max_pixels))
    return hold_out(photos, outcomes, share, seed)[0]


def write_lists(photos: Photos, folder: Path) -> None:
    """Write `train_list.txt` and `val_list.txt` as PaddleClas reads them.

    Raises:
        StartupError: the path of a photo is not one line of UTF-8; no list is written then.
    """
    lists = {TRAIN_LIST: _lines(photos.train), VALIDATION_LIST: _lines(photos.validation)}
    for name, lines in lists.items():
        write_text(folder / name, lines)


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
