"""Photo files on disk."""

from collections.abc import Iterable
from pathlib import Path

from app.errors import ServiceError, UnsupportedImage
from app.images.formats import sniff


def find_photos(paths: Iterable[Path]) -> list[Path]:
    """Return the files among `paths`, and all images below the folders among them, sorted."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.is_file() and _is_image(file))
        else:
            found.append(path)
    return found


def contents(path: Path) -> bytes:
    """Return the file's bytes.

    Raises:
        UnsupportedImage: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnsupportedImage(f"The file cannot be read: {error.strerror}") from error


def _is_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            sniff(file.read(16))
    except (ServiceError, OSError):
        return False
    return True
