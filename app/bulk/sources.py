"""Where photos come from: a folder, a list file or object storage."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.bulk.names import path_of, shown
from app.errors import StartupError
from app.images.files import SUFFIXES, is_photo

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_REQUESTS = 64
_INSTALL = "install requirements/bulk.txt, which `make .venv/bulk` does"


def listing(source: str) -> Iterator[str]:
    """Yield the name of each photo of a source, in an order that stays; see `names`.

    Args:
        source: a folder, a list file with a path or URL on each line, or the URL of a folder in
            object storage. Relative paths in a list are relative to its own folder.

    Raises:
        StartupError: there is no such source, or a package that reads it is not installed.
        OSError: a folder cannot be read.
    """
    if _is_url(source):
        found = _objects(source)
    elif Path(source).is_dir():
        found = _files(os.path.normpath(source), ())
    elif Path(source).is_file():
        found = _listed(Path(source))
    else:
        raise StartupError(f"{source}: there is no such folder or list file")
    return map(shown, found)


def contents(names: Sequence[str], max_bytes: int) -> list[bytes | Exception]:
    """Return the bytes of each photo, or why it cannot be read.

    Of a photo that has more than `max_bytes`, only so many are read, and one more.
    """
    read = partial(_read, max_bytes=max_bytes)
    if any(map(_is_url, names)):
        return list(_requests().map(read, names))
    return list(map(read, names))


def _read(name: str, max_bytes: int) -> bytes | Exception:
    path = path_of(name)
    try:
        if _is_url(path):
            storage = _storage(path.partition("://")[0])
            data: bytes = storage.cat_file(path, end=max_bytes + 1)
            return data
        # A pipe that nobody writes to would let an ordinary `open` wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            return file.read(min(os.fstat(descriptor).st_size, max_bytes + 1))
    # Each library of object storage has exceptions of its own.
    except Exception as error:  # noqa: BLE001
        return error


@cache
def _requests() -> ThreadPoolExecutor:
    """Return threads for requests to object storage, each of which waits most of the time."""
    return ThreadPoolExecutor(_REQUESTS, "request")


def _is_url(source: str) -> bool:
    return "://" in source


def _files(folder: str, above: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Yield the photos in a folder and below; a link that leads back to a folder above is left."""
    status = os.stat(folder)  # noqa: PTH116
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir():
                yield from _files(entry.path, (*above, identity))
            elif _is_photo(entry):
                yield entry.path


def _is_photo(entry: os.DirEntry[str]) -> bool:
    """Tell whether a file is a photo by its name or its first bytes.

    A broken photo has only its name, and so has a link that leads nowhere.
    """
    if entry.is_file():
        return _has_suffix(entry.name) or is_photo(Path(entry.path))
    return entry.is_symlink() and not Path(entry.path).exists() and _has_suffix(entry.name)


def _has_suffix(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122


def _listed(file: Path) -> Iterator[str]:
    if is_photo(file):
        yield str(file)
        return
    with file.open("rb") as lines:
        for line in lines:
            if path := os.fsdecode(line.rstrip(b"\r\n")):
                if _is_url(path):
                    # A missing package shall stop the command here, not be an error of each photo.
                    _storage(path.partition("://")[0])
                    yield path
                else:
                    yield os.path.join(file.parent, path)  # noqa: PTH118


def _objects(url: str) -> Iterator[str]:
    """Yield the photos below a URL: objects whose names end like a photo's, or have no suffix.

    To read the first bytes of each object would cost a request for each.
    """
    storage = _storage(url.partition("://")[0])
    try:
        found = storage.find(url)
    except Exception as error:
        raise StartupError(f"{url} cannot be listed: {error}") from error
    if not found:
        raise StartupError(f"{url}: there is nothing below this URL")
    for path in found:
        if _has_suffix(path) or not Path(path).suffix:
            yield storage.unstrip_protocol(path)


@cache
def _storage(protocol: str) -> "AbstractFileSystem":
    try:
        import fsspec  # noqa: PLC0415
    except ImportError as error:
        raise StartupError(f"{protocol}:// needs fsspec: {_INSTALL}") from error
    try:
        return fsspec.filesystem(protocol)
    except (ImportError, ValueError) as error:
        raise StartupError(f"{protocol}:// cannot be read: {error}") from error
