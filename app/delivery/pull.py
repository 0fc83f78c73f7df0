"""A packed bundle, fetched and put in place at once.

`directory` becomes a link to `.pulled/HASH/NAME` beside it, where HASH is that of the tar file and
NAME that of `directory`. A link can be switched at once, a directory cannot; and a server that runs
the bundle before keeps its files. So going back to a bundle that was pulled once needs no download.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.delivery.archive import unpack
from app.delivery.download import check, download, forget
from app.delivery.progress import Lines, Report
from app.delivery.urls import require_https, shown
from app.errors import BundleError, DiskFull, StartupError
from app.model.bundle import Bundle, load_bundle
from app.model.bundle import sha256 as hash_of

STORE = ".pulled"


def pull(url: str, sha256: str, directory: Path, max_bytes: int, report: Report) -> Bundle:
    """Let `directory` lead to the bundle in the tar file at `url`, and return the bundle.

    Nothing is fetched if the bundle of this hash is there already.

    Raises:
        StartupError: the file cannot be fetched or written, has another hash or no bundle, or
            `directory` is something that this command does not replace.
    """
    require_https(url)
    sha256 = sha256.lower()
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise StartupError(f"the SHA-256 must have 64 hex digits, but it is {sha256!r}")
    link = Path(os.path.abspath(directory))  # noqa: PTH100  (a link must not be resolved)
    _require_replaceable(link)
    store = link.parent / STORE
    store.mkdir(parents=True, exist_ok=True)
    with _locked(store / "lock", report):
        place = store / sha256 / link.name
        bundle = _loaded(place)
        if bundle is None:
            _fetch(url, sha256, place, max_bytes, report)
            bundle = load_bundle(place)
        _switch(link, place)
    return bundle


def _require_replaceable(link: Path) -> None:
    if link.is_symlink() or not link.exists():
        return
    if link.is_mount():
        raise StartupError(
            f"{link} is a mount point, which cannot be replaced: name a directory in it, such as "
            f"{link / 'current'}"
        )
    if not link.is_dir() or any(link.iterdir()):
        raise StartupError(f"{link} is not empty, and no pull made it: name another directory")


@contextmanager
def _locked(file: Path, report: Report) -> Iterator[None]:
    """Keep other pulls out, which may share the volume, until the block ends."""
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"waiting for another pull, which holds {file}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _loaded(place: Path) -> Bundle | None:
    try:
        return load_bundle(place)
    except BundleError:
        return None


def _fetch(url: str, sha256: str, place: Path, max_bytes: int, report: Report) -> None:
    folder = place.parent
    tar = folder.with_name(f"{sha256}.tar")
    # The whole file may be there already, if an earlier pull had no room to unpack it.
    if not (tar.is_file() and hash_of(tar) == sha256):
        report(f"pulling {shown(url)}")
        try:
            download(url, tar, Lines(report), max_bytes)
        except DiskFull as error:
            raise StartupError(f"{error}; as many bytes again are needed to unpack it") from error
        check(tar, sha256, shown(url))
    unpacking = folder.with_name(f"{sha256}.unpacking")
    shutil.rmtree(unpacking, ignore_errors=True)
    try:
        (unpacking / place.name).mkdir(parents=True)
        unpack(tar, unpacking / place.name, max_bytes)
        load_bundle(unpacking / place.name)
        # Another link may lead to a bundle of this hash under its own name.
        shutil.rmtree(place, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        (unpacking / place.name).rename(place)
    except BundleError as error:
        forget(tar)
        raise StartupError(f"{shown(url)}: there is no bundle in it: {error}") from error
    finally:
        shutil.rmtree(unpacking, ignore_errors=True)
    forget(tar)


def _switch(link: Path, place: Path) -> None:
    """Let `link` lead to `place`, wherever their common volume is mounted."""
    target = place.relative_to(link.parent)
    if link.is_symlink() and link.readlink() == target:
        return
    if link.is_dir() and not link.is_symlink():
        link.rmdir()
    new = place.parents[1] / "link"
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
