"""Photo files on disk."""

from collections.abc import Iterable
from pathlib import Path

from app.errors import ServiceError, TooManyPixels, UnsupportedImage
from app.images.formats import is_image

# The names of photos end so.
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".avif", ".heic", ".heif", ".hif", ".mpo"}
)
# These first bytes of a file are enough to tell a photo from other files.
_HEADER_BYTES = 16


def find_photos(paths: Iterable[Path]) -> list[Path]:
    """Return the photos that `paths` name, in the order of `paths`.

    A folder stands for all images in it and in its subfolders, sorted by path. Every other path is
    returned unchecked.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.is_file() and is_photo(file))
        else:
            found.append(path)
    return found


def contents(path: Path) -> bytes:
    """Return the file's bytes.

    Raises:
        UnsupportedImage: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        if path.is_symlink() and not path.exists():
            raise UnsupportedImage(f"The link leads to nothing: {path.readlink()}") from error
        raise UnsupportedImage(f"The file cannot be read: {error.strerror}") from error


def reason(error: ServiceError) -> str:
    """Return why a photo on disk cannot be used, and which setting would change that.

    A client of the service gets the error without the setting, which is not the client's to choose.
    """
    if isinstance(error, TooManyPixels):
        return f"{error}; CLASSIFIER_MAX_PIXELS sets the limit"
    return str(error)


def is_photo(path: Path) -> bool:
    """Return whether a file begins like an image; one that cannot be read does not."""
    try:
        with path.open("rb") as file:
            return is_image(file.read(_HEADER_BYTES))
    except OSError:
        return False
