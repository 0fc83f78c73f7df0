"""The commit that is released, and its files in a folder of their own."""

import io
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _git(*arguments: str) -> bytes:
    return subprocess.check_output(["git", *arguments], cwd=ROOT)


@dataclass(frozen=True)
class Commit:
    """A commit: its id, and when it was made, in seconds since 1970."""

    revision: str
    epoch: int
    version: str

    @classmethod
    def checked_out(cls) -> "Commit":
        """Return the commit that is checked out."""
        revision, epoch = _git("log", "-1", "--format=%H %ct").decode().split()
        package = _git("show", f"{revision}:app/__init__.py").decode()
        (version,) = re.findall(r'^__version__ = "(.+)"$', package, re.MULTILINE)
        return cls(revision, int(epoch), version)

    @property
    def created(self) -> str:
        """The time of the commit as labels show it."""
        return datetime.fromtimestamp(self.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def has_changes(self) -> bool:
        """Tell whether the working tree has changes that are not committed."""
        return bool(_git("status", "--porcelain").strip())

    @contextmanager
    def exported(self) -> Iterator[Path]:
        """Write the commit's files, and no others, to a folder, which goes with the block."""
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(fileobj=io.BytesIO(_git("archive", self.revision))) as archive:
                archive.extractall(folder, filter="data")
            yield Path(folder)
