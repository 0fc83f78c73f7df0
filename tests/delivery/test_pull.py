"""Bundles that are pulled from an HTTPS server on this machine, good ones and bad ones."""

import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from commands import Run
from origin import ETAG, WAIT_S, Handler, Origin, fails, write_certificate
from small_bundles import member, write_bundle, write_tar

from app.delivery import download, progress
from app.delivery.archive import pack
from app.delivery.pull import STORE, pull
from app.disk import megabytes
from app.errors import StartupError
from app.model.bundle import Bundle, load_bundle, sha256

ROOT = Path(__file__).parents[2]
LIMIT = 10_000_000
# The kernel sends this many bytes at least until a client reads them.
WEIGHTS = bytes(range(256)) * 4000


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tar file of a bundle."""
    return packed(tmp_path_factory.mktemp("packed"), WEIGHTS)


def packed(folder: Path, weights: bytes) -> Path:
    bundle = load_bundle(write_bundle(folder / "bundle", weights))
    pack(bundle, folder / "tiny.tar")
    return folder / "tiny.tar"


@pytest.fixture
def origin(
    tar: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Origin]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    monkeypatch.setattr(download, "RETRY_PAUSES_S", (0.0, 0.0))
    with Origin(tar.read_bytes(), "/models/tiny.tar", certificate).running() as server:
        yield server


@pytest.fixture
def current(tmp_path: Path) -> Path:
    """The path that shall lead to the bundle, on a volume that is empty."""
    volume = tmp_path / "models"
    volume.mkdir()
    return volume / "current"


Pull = Callable[..., Bundle]


@pytest.fixture
def take(origin: Origin, tar: Path, current: Path) -> Pull:
    """A function that pulls the bundle as an init container does."""

    def take(url: str = origin.url, digest: str | None = None, limit: int = LIMIT) -> Bundle:
        return pull(url, digest or sha256(tar), current, limit, print)

    return take


def stored(current: Path) -> list[str]:
    """Return the names beside the link that are no part of a bundle."""
    return sorted(path.name for path in (current.parent / STORE).iterdir())


def assert_in_place(current: Path, tar: Path, weights: bytes = WEIGHTS) -> None:
    assert (current / "inference.pdiparams").read_bytes() == weights
    assert [path.name for path in current.parent.iterdir() if path.name != STORE] == ["current"]
    assert sha256(tar) in stored(current)
    assert not [name for name in stored(current) if name != "lock" and len(name) != 64]


def assert_refused(take: Pull, message: str, **arguments: object) -> str:
    with pytest.raises(StartupError) as caught:
        take(**arguments)
    line = str(caught.value)
    assert message in line
    assert "\n" not in line
    return line


def test_a_bundle_is_fetched(
    take: Pull, current: Path, tar: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = take()
    assert bundle.name == "tiny"
    assert_in_place(current, tar)
    # The volume may be mounted elsewhere in the next container.
    assert not current.readlink().is_absolute()
    moved = current.parent.rename(current.parents[1] / "elsewhere")
    assert load_bundle(moved / "current").version == bundle.version
    assert "downloading 0.0 of 1.0 MB" in capsys.readouterr().out


def test_a_bundle_that_is_there_is_not_fetched(take: Pull, origin: Origin, current: Path) -> None:
    take()
    before = current.readlink()
    take()
    assert len(origin.requests) == 1
    assert current.readlink() == before


def test_a_damaged_bundle_is_fetched_again(
    take: Pull, origin: Origin, current: Path, tar: Path
) -> None:
    take()
    (current / "inference.yml").unlink()
    take()
    assert len(origin.requests) == 2
    assert_in_place(current, tar)


def test_forward_and_back_without_a_download(
    take: Pull, origin: Origin, current: Path, tar: Path, tmp_path: Path
) -> None:
    first = take()
    other = packed(tmp_path / "other", b"other weights")
    origin.body, origin.etag = other.read_bytes(), '"second"'
    assert take(digest=sha256(other)).version != first.version
    assert_in_place(current, other, b"other weights")
    # A server that still runs the first bundle may start another worker.
    assert load_bundle(first.directory).version == first.version
    assert take().version == first.version
    assert_in_place(current, tar)
    assert len(origin.requests) == 2


def test_a_broken_download_is_continued(
    take: Pull, origin: Origin, current: Path, tar: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    origin.script = [Handler.half]
    take()
    assert_in_place(current, tar)
    half = len(origin.body) // 2
    assert origin.requests == [(None, None), (f"bytes={half}-", ETAG)]
    assert f"only {half} of {len(origin.body)} bytes arrived; trying again" in (
        capsys.readouterr().out
    )


def test_a_server_without_ranges_sends_it_anew(
    take: Pull, origin: Origin, current: Path, tar: Path
) -> None:
    origin.script = [Handler.half, Handler.whole]
    take()
    assert_in_place(current, tar)


def test_a_server_without_validators_is_asked_for_all(
    take: Pull, origin: Origin, current: Path, tar: Path
) -> None:
    origin.etag, origin.script = "", [Handler.half]
    take()
    assert_in_place(current, tar)
    assert origin.requests == [(None, None), (None, None)]


@pytest.mark.parametrize("weak", [True, False])
def test_the_date_is_the_validator_beside_a_weak_etag(
    weak: bool, take: Pull, origin: Origin
) -> None:
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    body = origin.body

    def half(handler: Handler) -> None:
        head = {"Content_Length": str(len(body)), "Last_Modified": date}
        handler.answer(200, body[:1000], **head, ETag='W/"first"' if weak else "")

    origin.script = [half]
    take()
    assert origin.requests[1] == ("bytes=1000-", date)


def test_a_changed_file_is_fetched_anew(
    take: Pull, origin: Origin, current: Path, tmp_path: Path
) -> None:
    other = packed(tmp_path / "other", WEIGHTS[::-1])

    def changes(handler: Handler) -> None:
        handler.half()
        origin.body, origin.etag = other.read_bytes(), '"second"'

    origin.script = [changes]
    take(digest=sha256(other))
    assert_in_place(current, other, WEIGHTS[::-1])
    assert origin.requests[1][1] == ETAG


def test_two_links_may_lead_to_the_same_bundle(
    take: Pull, origin: Origin, tar: Path, current: Path
) -> None:
    take()
    canary = current.with_name("canary")
    pull(origin.url, sha256(tar), canary, LIMIT, print)
    assert (canary / "inference.pdiparams").read_bytes() == WEIGHTS
    assert (current / "inference.pdiparams").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    "wrong",
    [
        fails(416),
        lambda handler: handler.answer(206, b"x", Content_Range="bytes 5-5/10"),
        lambda handler: handler.answer(206, b"x", Content_Range="nonsense"),
    ],
    ids=["416", "other part", "no part"],
)
def test_a_wrong_continuation_is_dropped(
    wrong: Callable[[Handler], None], take: Pull, origin: Origin, current: Path, tar: Path
) -> None:
    origin.script = [Handler.half, wrong]
    take()
    assert_in_place(current, tar)
    assert origin.requests[2] == (None, None)


CHILD = """
import sys
from pathlib import Path
from app.delivery.pull import pull
pull(sys.argv[1], sys.argv[2], Path(sys.argv[3]), 10**7, print)
"""


@pytest.mark.slow
def test_a_killed_pull_is_continued(take: Pull, origin: Origin, current: Path, tar: Path) -> None:
    origin.script = [Handler.stall]
    command = [sys.executable, "-c", CHILD, origin.url, sha256(tar), str(current)]
    part = current.parent / STORE / f"{sha256(tar)}.tar"
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as child:
        stalled = origin.stalled.wait(WAIT_S)
        for _ in range(3000):
            if part.exists() and part.stat().st_size > 0:
                break
            origin.released.wait(0.01)
        child.kill()
    assert stalled
    assert child.returncode == -signal.SIGKILL
    size = part.stat().st_size
    assert 0 < size < len(origin.body)
    assert not current.exists()
    take()
    assert_in_place(current, tar)
    assert origin.requests == [(None, None), (f"bytes={size}-", ETAG)]


def test_two_pulls_fetch_it_once(take: Pull, origin: Origin, current: Path, tar: Path) -> None:
    """Pods may share a volume."""
    with ThreadPoolExecutor(2) as both:
        versions = {one.result().version for one in [both.submit(take), both.submit(take)]}
    assert len(versions) == len(origin.requests) == 1
    assert_in_place(current, tar)


def test_another_hash_is_refused(take: Pull, origin: Origin, current: Path, tar: Path) -> None:
    assert_refused(
        take,
        f"{origin.url}: its SHA-256 is {sha256(tar)}, expected {'0' * 64}",
        digest="0" * 64,
    )
    assert stored(current) == ["lock"]
    assert not current.is_symlink()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_final(status: int, take: Pull, origin: Origin) -> None:
    origin.script = [fails(status)]
    assert_refused(take, f"{origin.url}: HTTP {status} ")
    assert len(origin.requests) == 1


def test_a_passing_failure_is_tried_again(
    take: Pull, origin: Origin, current: Path, tar: Path
) -> None:
    origin.script = [fails(503), fails(429)]
    take()
    assert_in_place(current, tar)


def test_a_lasting_failure_ends(take: Pull, origin: Origin) -> None:
    origin.script = [fails(500)] * 3
    assert_refused(take, "HTTP 500 Internal Server Error; run the command again to continue")
    assert len(origin.requests) == 3


def test_nobody_listens(take: Pull) -> None:
    assert_refused(take, "Connection refused; run the command again", url="https://127.0.0.1:1/a")


def test_a_certificate_of_an_unknown_authority(
    take: Pull, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    assert_refused(take, "its certificate is not trusted (self-signed certificate); SSL_CERT_FILE")
    assert origin.requests == []


def test_a_redirect_to_https_is_followed(
    take: Pull, origin: Origin, current: Path, tar: Path
) -> None:
    origin.script = [lambda handler: handler.answer(302, Location="/elsewhere?token=secret")]
    take()
    assert_in_place(current, tar)


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/a?secret", "ftp://a"])
def test_a_redirect_away_from_https_is_refused(target: str, take: Pull, origin: Origin) -> None:
    origin.script = [lambda handler: handler.answer(302, Location=target)]
    line = assert_refused(take, f"{origin.url}: it leads to ")
    assert "secret" not in line


def test_no_line_controls_the_terminal(take: Pull, origin: Origin) -> None:
    def refuse(handler: Handler) -> None:
        handler.send_response(403, "no \x1b[2J")
        handler.end_headers()

    def babble(handler: Handler) -> None:
        handler.wfile.write(b"\x1b[2J\r\n\r\n")

    origin.script = [refuse]
    assert_refused(take, f"{origin.url}: HTTP 403 no ?[2J")
    origin.script = [babble] * 3
    assert_refused(take, f"{origin.url}: ?[2J; run the command again")


@pytest.mark.parametrize("target", ["file:///etc/secret", "/models/tiny.tar?secret"])
def test_a_redirect_that_urllib_does_not_follow(target: str, take: Pull, origin: Origin) -> None:
    origin.script = [lambda handler: handler.answer(302, Location=target)] * 20
    line = assert_refused(take, f"{origin.url}: HTTP 302 with a redirect that is not followed")
    assert "secret" not in line


@pytest.mark.parametrize(
    "url",
    ["http://models.example.com/a", "file:///etc/passwd", "ftp://a/b", "/a/b", "https://", "a"],
)
def test_only_https(url: str, take: Pull, origin: Origin) -> None:
    assert_refused(take, "the URL must begin with https://", url=url)
    assert origin.requests == []


@pytest.mark.parametrize(
    "url", ["https://a:b/c?secret", "https://[a/b?secret", "https://127.0.0.1/a b?secret"]
)
def test_no_url(url: str, take: Pull) -> None:
    assert "secret" not in assert_refused(take, "not a URL", url=url)


def test_no_line_shows_a_signature(
    take: Pull, origin: Origin, capsys: pytest.CaptureFixture[str]
) -> None:
    origin.script = [fails(404)]
    line = assert_refused(take, "HTTP 404", url=f"{origin.url}?signature=secret")
    assert "secret" not in line + capsys.readouterr().out


@pytest.mark.parametrize("told", [True, False])
def test_a_file_that_is_too_large(told: bool, take: Pull, origin: Origin, current: Path) -> None:
    body = origin.body

    def whole(handler: Handler) -> None:
        handler.answer(200, body, Content_Length=str(len(body)) if told else "")

    origin.script = [whole]
    assert_refused(take, "it has more than the 1000 bytes of --max-bytes", limit=1000)
    assert stored(current) == ["lock"]


@pytest.mark.parametrize("content", [b"<html>Please log in</html>", b""])
def test_what_is_no_tar_file(content: bytes, take: Pull, origin: Origin, current: Path) -> None:
    file = current.parent / "file"
    file.write_bytes(content)
    origin.body = content
    assert_refused(take, "there is no bundle in it: not a whole tar", digest=sha256(file))
    assert stored(current) == ["lock"]
    assert not current.is_symlink()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("readme.txt", "it has neither inference.json nor inference.pdmodel"),
        ("../escaped", "'../escaped' in the tar file is not the name of a file there"),
    ],
)
def test_a_tar_file_without_a_bundle(
    name: str, message: str, take: Pull, origin: Origin, current: Path, tmp_path: Path
) -> None:
    file = write_tar(tmp_path / "file.tar", member(name, size=9))
    origin.body = file.read_bytes()
    assert_refused(take, message, digest=sha256(file))
    assert stored(current) == ["lock"]
    assert not current.is_symlink()


def test_a_bad_pull_leaves_the_bundle_before(take: Pull, origin: Origin, current: Path) -> None:
    before = take()
    origin.script = [fails(404)]
    assert_refused(take, "HTTP 404", digest="1" * 64)
    assert load_bundle(current).version == before.version


def test_an_empty_directory_is_replaced(take: Pull, current: Path, tar: Path) -> None:
    current.mkdir()
    take()
    assert_in_place(current, tar)


def test_the_link_of_someone_else_is_switched(
    take: Pull, current: Path, tar: Path, tmp_path: Path
) -> None:
    current.symlink_to(write_bundle(tmp_path / "mine"))
    take()
    assert_in_place(current, tar)
    assert load_bundle(tmp_path / "mine").name == "tiny"


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_nothing_else_is_replaced(kind: str, take: Pull, origin: Origin, current: Path) -> None:
    if kind == "directory":
        write_bundle(current)
    else:
        current.write_text("mine")
    assert_refused(take, f"{current} is not empty, and no pull made it: name another directory")
    assert origin.requests == []


def test_a_mount_point_cannot_be_replaced(origin: Origin, tar: Path) -> None:
    with pytest.raises(StartupError, match=r"/proc is a mount point.*such as /proc/current"):
        pull(origin.url, sha256(tar), Path("/proc"), LIMIT, print)
    assert origin.requests == []


@pytest.mark.slow
def test_a_full_disk_is_told_with_the_file_and_its_need(
    take: Pull, origin: Origin, current: Path, tar: Path
) -> None:
    """A limit on the size of files stands for a full disk, because both fail in `write`."""
    size = len(origin.body)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, resource.RLIM_INFINITY))

    command = [sys.executable, "-m", "app", "weights", "pull", origin.url]
    command += ["--sha256", sha256(tar), "--to", str(current)]
    ended = subprocess.run(
        command, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    part = current.parent / STORE / f"{sha256(tar)}.tar"
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(
        f"error: {part} cannot be written: File too large: it needs {megabytes(size)}, and "
    )
    assert last.endswith("; as many bytes again are needed to unpack it")
    # With more room, the next pull continues.
    take()
    assert_in_place(current, tar)
    assert origin.requests[1][0] == f"bytes={size // 2}-"


@pytest.mark.slow
def test_it_works_with_what_the_image_has(
    origin: Origin, current: Path, tar: Path, tmp_path: Path
) -> None:
    shutil.copytree(
        ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("training", "bench")
    )
    program = "import sys; sys.modules['httpx'] = None; from app.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        program,
        "weights",
        "pull",
        f"{origin.url}#sha256={sha256(tar)}",
    ]
    ended = subprocess.run(
        [*command, "--to", str(current)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ended.stdout == f"{current} leads to tiny, version {load_bundle(current).version}\n"
    assert ended.stderr.splitlines()[0] == f"pulling {origin.url}"
    assert_in_place(current, tar)


def test_what_pack_prints_pulls_the_bundle(
    run: Run, origin: Origin, current: Path, tmp_path: Path
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    file = tmp_path / "tiny.tar"
    code, out, _ = run("weights", "pack", bundle, "--output", file)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == (f"packed {file}: {file.stat().st_size} bytes, SHA-256 {sha256(file)}")
    origin.body = file.read_bytes()
    words = lines[2].replace("https://HOST/tiny.tar", origin.url).split()[3:-1]
    assert run(*words, current).code == 0
    assert load_bundle(current).version == load_bundle(bundle).version
    assert lines[-1] == f"MODEL_URL=https://HOST/tiny.tar#sha256={sha256(file)}"


def test_two_bundles_with_the_same_weights_have_two_files(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bundles = [write_bundle(tmp_path / name) for name in ("first", "second")]
    with (bundles[1] / "inference.yml").open("a") as config:
        config.write("# another preprocessing")
    for bundle in bundles:
        code, out, _ = run("weights", "pack", bundle)
        assert code == 0
        (file,) = [tmp_path / word.strip(":") for word in out.split() if word.endswith(".tar:")]
        assert file.name == f"tiny-{sha256(file)[:12]}.tar"
    assert len([*tmp_path.glob("*tar*")]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["https://a/b.tar"], "name the hash with --sha256 HEX, or end the URL with #sha256=HEX"),
        (["https://a/b.tar#sha256=12"], "the SHA-256 must have 64 hex digits, but it is '12'"),
        (["https://a/b.tar#sha256=12", "--sha256", "34"], "the URL and --sha256 name different"),
        (["https://a/b.tar#sha256=ab", "--sha256", "AB"], "the SHA-256 must have 64 hex digits"),
    ],
)
def test_the_hash_is_required(arguments: list[str], message: str, run: Run, current: Path) -> None:
    code, out, err = run("weights", "pull", *arguments, "--to", current)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {message}")


def test_long_downloads_tell_how_far_they_are(
    take: Pull, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "REPORT_EVERY_S", 0.0)
    take()
    assert "\ndownloaded 1.0 of 1.0 MB\n" in capsys.readouterr().out
