"""Published weights onto this disk: by URL, or out of a wheel by way of the user's own pip.

Bytes go to a neighbour `*.part` and get their name once they are whole and their hash is right,
so whatever kills a run, `destination` is the file or is not there.
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

from app.errors import StartupError, command
from app.model import bundle

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0  # without a single byte
RETRY_PAUSES_S = (1.0, 2.0, 4.0)
PIP_TIMEOUT_S = 600.0

ELSEWHERE = f"fetch it elsewhere and run `{command('weights', 'import', 'FILE')}`"
AGAIN = f"run it again, it goes on where it stopped, or {ELSEWHERE}"


class FetchError(StartupError):
    """The file did not come: one line that says which, why and what to do."""


class _Incomplete(Exception):
    """The answer ended in good order before the file did."""


_DROPPED = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError, _Incomplete)


def fetch_url(url: str, destination: Path, sha256: str | None) -> str:
    """Download `url` to `destination`, going on from the `.part` of an earlier run.

    Nothing is downloaded where `destination` already has the hash.

    Returns:
        The file's SHA-256 in hex.

    Raises:
        FetchError: refused, lost for good, not the file of this hash, or no place to write it.
    """
    if sha256 is not None and _is_there(destination, sha256):
        return sha256
    part = _part(destination)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part)
        return _finish(part, destination, sha256, url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchError(f"{url}: {_reason(error)}; {ELSEWHERE}") from error
    except OSError as error:
        raise FetchError(f"{url}: cannot write {part}: {error.strerror}; {AGAIN}") from error


def fetch_from_wheel(requirement: str, member: str, destination: Path, sha256: str) -> str:
    """Take the one file `member` out of the wheel that pip finds for `requirement`.

    pip does the download, so the user's own index, proxy and certificates apply.

    Returns:
        The file's SHA-256 in hex.

    Raises:
        FetchError: pip failed, the wheel lacks the file, or it is not the file of this hash.
    """
    if _is_there(destination, sha256):
        return sha256
    part = _part(destination)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as directory:
            wheel = _pip_download(requirement, directory)
            _extract(wheel, member, part)
        return _finish(part, destination, sha256, f"{requirement}: {member}")
    except KeyError as error:
        raise FetchError(f"{requirement}: has no file {member}; {ELSEWHERE}") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise FetchError(f"{requirement}: a damaged wheel ({error}); {ELSEWHERE}") from error
    except OSError as error:
        raise FetchError(f"{requirement}: cannot write {part}: {error.strerror}") from error


def _is_there(destination: Path, sha256: str) -> bool:
    return destination.is_file() and bundle.sha256(destination) == sha256


def _part(destination: Path) -> Path:
    return destination.with_name(f"{destination.name}.part")


def _finish(part: Path, destination: Path, expected: str | None, source: str) -> str:
    actual = bundle.sha256(part)
    if expected is not None and actual != expected:
        part.unlink()
        raise FetchError(
            f"{source}: its SHA-256 is {actual}, expected {expected}; "
            f"run it again, it starts over, or {ELSEWHERE}"
        )
    part.replace(destination)
    return actual


def _download(url: str, part: Path) -> None:
    timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    with (
        httpx.Client(timeout=timeout, follow_redirects=True) as client,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        task = progress.add_task(part.stem, total=None)
        for pause_s in (*RETRY_PAUSES_S, None):
            try:
                _receive(client, url, part, progress, task)
            except _DROPPED as error:
                if pause_s is None:
                    raise FetchError(f"{url}: {_reason(error)}; {AGAIN}") from error
                progress.console.print(f"{_reason(error)}; going on in {pause_s:g} s")
                time.sleep(pause_s)
            else:
                return


def _receive(client: httpx.Client, url: str, part: Path, progress: Progress, task: TaskID) -> None:
    """Add to `part` what it lacks, with one request; with a second where it is of no use."""
    size = part.stat().st_size if part.exists() else 0
    with client.stream("GET", url, headers=_headers(part, size)) as response:
        start, total = _extent(response)
        if size and (response.status_code in (412, 416) or start not in (0, size)):
            part.unlink()
            _receive(client, url, part, progress, task)
            return
        if response.status_code not in (200, 206) or start not in (0, size):
            hint = AGAIN if response.is_server_error else ELSEWHERE
            status = f"HTTP {response.status_code} {response.reason_phrase}".rstrip()
            raise FetchError(f"{url}: {status}; {hint}")
        progress.update(task, completed=start, total=total)
        with part.open("ab" if start else "wb") as file:
            for chunk in response.iter_raw():
                file.write(chunk)
                progress.advance(task, len(chunk))
    if total is not None and (size := part.stat().st_size) != total:
        raise _Incomplete(f"{size} of {total} bytes came")


def _headers(part: Path, size: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}  # a range counts the bytes that are sent
    if size:
        headers["Range"] = f"bytes={size}-"
        # Published anew since the last byte came: 412, and no mix of the two is made.
        headers["If-Unmodified-Since"] = formatdate(part.stat().st_mtime, usegmt=True)
    return headers


def _extent(response: httpx.Response) -> tuple[int, int | None]:
    """Return where the body starts in the file, and the length of the file where it is told."""
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if told is None:
            return -1, None
        return int(told[1]), int(told[2]) if told[2] != "*" else None
    length = response.headers.get("Content-Length")
    return 0, int(length) if length is not None else None


def _extract(wheel: Path, member: str, part: Path) -> None:
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(member) as source,
        part.open("wb") as target,
    ):
        shutil.copyfileobj(source, target)


def _pip_download(requirement: str, directory: str) -> Path:
    options = ["--no-deps", "--only-binary", ":all:", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", directory, requirement]
    try:
        with Console(stderr=True).status(f"pip download {requirement}"):
            result = subprocess.run(  # noqa: S603 - no shell, and the requirement is pinned by us
                command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False
            )
    except subprocess.TimeoutExpired as error:
        raise FetchError(
            f"{requirement}: pip took over {PIP_TIMEOUT_S:g} s; {ELSEWHERE}"
        ) from error
    wheels = list(Path(directory).glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        said = result.stderr.strip().splitlines() or ["it gave no wheel"]
        raise FetchError(f"{requirement}: pip: {said[-1]}; {ELSEWHERE}")
    return wheels[0]


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
