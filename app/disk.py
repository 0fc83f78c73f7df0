"""Files that appear only once they are complete, and what is said when the disk is full."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from app.errors import DiskFull

# No space, no space within the user's quota, and a file above the limit of `ulimit -f`.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def room_for(path: Path, size: int | None = None) -> Iterator[None]:
    """Say in one line that `path` does not fit on the disk, and how many bytes it needs.

    Raises:
        DiskFull: something was written inside the `with` block until the disk was full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise disk_full(path, error.strerror or "the disk is full", size) from error


@contextmanager
def replacing(path: Path, size: int | None = None) -> Iterator[Path]:
    """Yield the path of a new file, which replaces `path` at the end of the `with` block.

    If the block fails or the process is killed, `path` still holds the whole old file.

    Args:
        path: the file to write or to replace.
        size: the number of its bytes, if it is known, for the message.

    Raises:
        DiskFull: the file does not fit on the disk; nothing of it is left.
    """
    part = path.with_name(f"{path.name}.part")
    with room_for(path, size):
        try:
            yield part
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def reserve(folder: Path, size: int) -> None:
    """Check that a file of `size` bytes fits into `folder`.

    Paddle does not notice it when the disk is full, and leaves a file that ends too early.

    Raises:
        OSError: the file does not fit.
    """
    with TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, size)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file, which appears or is replaced only once it is complete.

    Raises:
        DiskFull: the file does not fit on the disk; nothing of it is left.
    """
    content = text.encode()
    with replacing(path, len(content)) as part:
        part.write_bytes(content)


def disk_full(path: Path, reason: str, size: int | None = None) -> DiskFull:
    """Return the error for `path`, with the bytes that it needs and those that are free."""
    folder = next(folder for folder in path.absolute().parents if folder.is_dir())
    free = f"{megabytes(shutil.disk_usage(folder).free)} are free in {folder}"
    need = f"it needs {megabytes(size)}, and " if size else ""
    return DiskFull(f"{path} cannot be written: {reason}: {need}{free}")


def megabytes(size: int) -> str:
    """Return a number of bytes as text."""
    return f"{size / 1e6:.1f} MB" if size >= 50_000 else f"{size:,} bytes"
