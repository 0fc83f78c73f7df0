"""One folder of class folders -> `train` and `test`, the same on every machine."""

import hashlib
import shutil
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

from app.errors import StartupError, UnsupportedImage
from app.images.files import contents
from app.training.data.dataset import Dataset, find_parts, read_dataset


def split(place: Path, output: Path, share: float, seed: int, *, link: bool) -> tuple[int, int]:
    """Copy `share` of each class's photos to OUTPUT/test and the others to OUTPUT/train.

    Args:
        place: DIR/<class>/*.jpg.
        output: must not be there yet; it comes into being whole or not at all.
        share: between 0 and 1; a class of two photos or more has one at least on either side.
        seed: another number chooses other photos.
        link: make hard links, which take no room, instead of copies.

    Returns:
        The numbers of photos in train and in test.

    Raises:
        StartupError: DIR is divided already; OUTPUT is there, or would become a class of DIR.
    """
    if not place.is_dir():
        raise StartupError(f"{place}: no such folder")
    if place not in find_parts(place).values():
        raise StartupError(f"{place} has its parts already: {', '.join(find_parts(place))}")
    if output.exists():
        raise StartupError(f"{output} is there already; nothing is overwritten")
    if output.resolve().is_relative_to(place.resolve()):
        raise StartupError(f"{output} lies within {place} and would become a class of it")
    data = read_dataset(place)
    chosen = choose(data, share, seed)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".splitting-", dir=output.parent) as temporary:
        built = Path(temporary) / output.name
        for sample in data.samples:
            part = "test" if sample.path in chosen else "train"
            _put(sample.path, built / part / sample.path.relative_to(place), link=link)
        built.rename(output)
    return len(data.samples) - len(chosen), len(chosen)


def choose(data: Dataset, share: float, seed: int) -> set[Path]:
    """Return `share` of each class's photos to test on; a class keeps one at least to learn from.

    Files of the same content stay together, across classes too, and are learned from where they
    are more than all of the share; one that cannot be read stays.
    """
    content = {sample.path: _content(sample.path) for sample in data.samples}
    classes = [Counter[str]() for _ in data.classes]
    for sample in data.samples:
        if one := content[sample.path]:
            classes[sample.class_id][one] += 1
    in_test = {"": False}
    for copies in classes:
        wanted = max(1, round(share * copies.total()))
        wanted -= sum(count for one, count in copies.items() if in_test.get(one))
        free = sorted(copies.keys() - in_test, key=partial(_rank, seed))
        free.sort(key=lambda one: copies[one] > wanted)  # copies of one photo are not all to test
        for one in free:
            in_test[one] = wanted > 0 and one != free[-1]  # one is left to learn from
            wanted -= copies[one]
    return {path for path, one in content.items() if in_test[one]}


def _content(photo: Path) -> str:
    try:
        return hashlib.sha256(contents(photo)).hexdigest()
    except UnsupportedImage:
        return ""


def _rank(seed: int, content: str) -> bytes:
    """Shuffle: by the content, not the name, so that renamed files go where they went."""
    return hashlib.sha256(f"{seed} {content}".encode()).digest()


def _put(photo: Path, place: Path, *, link: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if link:
        place.hardlink_to(photo.resolve())
    else:
        shutil.copy2(photo, place)
