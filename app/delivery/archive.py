"""The tar file in which a bundle travels.

It is not compressed: weights hardly become smaller, and so no file in it can swell while it is
unpacked.
"""

import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

from app.disk import replacing
from app.errors import BundleError, StartupError
from app.model.bundle import CONFIG, FOR_OTHER_ENGINES, PARAMETERS, Bundle
from app.model.unfamiliarity import UNFAMILIAR

MAX_FILES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def pack(bundle: Bundle, file: Path) -> None:
    """Write the bundle's files to the tar file `file`.

    The same files give the same bytes, because the members have sorted names, and neither a time,
    an owner nor rights of their own.

    Raises:
        DiskFull: the disk has no room for the tar file.
    """
    names = {CONFIG, PARAMETERS, UNFAMILIAR, bundle.graph.name, *FOR_OTHER_ENGINES}
    paths = [path for name in sorted(names) if (path := bundle.directory / name).is_file()]
    size = sum(path.stat().st_size for path in paths)
    with (
        replacing(file, size) as part,
        tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in paths:
            _add(archive, path)


def _add(archive: tarfile.TarFile, path: Path) -> None:
    # A new member has the mode 0644, the owner 0 and the time 0.
    member = tarfile.TarInfo(path.name)
    with path.open("rb") as content:
        member.size = os.fstat(content.fileno()).st_size
        archive.addfile(member, content)


def unpack(file: Path, directory: Path, max_bytes: int) -> None:
    """Unpack the tar file `file` into `directory`.

    Raises:
        BundleError: the file is no tar file, or has anything but a few plain files side by side of
            together at most `max_bytes`. Nothing is unpacked of a file with a wrong member.
        StartupError: a file cannot be written.
    """
    try:
        with tarfile.open(file, "r:") as archive:
            for member in list(_checked(archive, max_bytes)):
                _extract(archive, member, directory)
    except tarfile.TarError as error:
        raise BundleError(f"not a whole tar file without compression ({error})") from error


def _checked(archive: tarfile.TarFile, max_bytes: int) -> Iterator[tarfile.TarInfo]:
    names: set[str] = set()
    for member in archive:
        if not member.isreg() or member.issparse():
            raise BundleError(f"{member.name!r} in the tar file is not a plain file")
        if not _NAME.fullmatch(member.name) or member.name in names:
            raise BundleError(f"{member.name!r} in the tar file is not the name of a file there")
        names.add(member.name)
        max_bytes -= member.size
        if len(names) > MAX_FILES or max_bytes < 0:
            raise BundleError("the tar file has more files or bytes than are allowed")
        yield member


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    path = directory / member.name
    content = archive.extractfile(member)
    assert content  # noqa: S101  (it is a plain file)
    try:
        # Only bytes are taken from the tar file: no rights, owners, times or links.
        with path.open("xb") as file:
            shutil.copyfileobj(content, file)
            # The directory gets its final name only after the bytes of its files are on the disk.
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StartupError(
            f"cannot write {path}: {error.strerror}; it needs {member.size} bytes"
        ) from error
