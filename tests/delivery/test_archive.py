"""Packing gives the same bytes each time, and unpacking takes nothing but plain files."""

import gzip
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from small_bundles import member, write_bundle, write_tar

from app.delivery.archive import MAX_FILES, pack, unpack
from app.errors import BundleError, StartupError
from app.model.bundle import FOR_OTHER_ENGINES, load_bundle, sha256

LIMIT = 1_000_000
# The hash of the tar file of this small bundle, whatever the machine, the day and the user are.
PACKED = "a605ad79778aa5ada16c2ca195832186781acbed219b808e4c0d0df874f0d3f8"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An empty folder with nothing beside it."""
    folder = tmp_path / "unpacked" / "target"
    folder.mkdir(parents=True)
    return folder


def assert_nothing_written(target: Path) -> None:
    assert [path.name for path in target.parent.iterdir()] == ["target"]
    assert list(target.iterdir()) == []


def test_the_same_bundle_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    pack(load_bundle(bundle), tmp_path / "first.tar")
    for path in bundle.iterdir():
        path.chmod(0o600)
        os.utime(path, (1, 1))
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in sorted(bundle.iterdir(), reverse=True):
        shutil.copy(path, moved)
    pack(load_bundle(moved), tmp_path / "second.tar")
    assert sha256(tmp_path / "first.tar") == sha256(tmp_path / "second.tar") == PACKED


def test_it_has_the_bundles_files_and_no_others(bundle: Path, tmp_path: Path) -> None:
    for name in FOR_OTHER_ENGINES:
        (bundle / name).write_bytes(b"the same network")
    (bundle / "inference.pdmodel").write_bytes(b"not used beside the other graph")
    (bundle / ".DS_Store").write_bytes(b"")
    (bundle / "notes").mkdir()
    file = tmp_path / "bundle.tar"
    pack(load_bundle(bundle), file)
    with tarfile.open(file, "r:") as archive:
        members = archive.getmembers()
    assert [one.name for one in members] == [
        "inference.bin", "inference.json", "inference.onnx", "inference.pdiparams", "inference.xml",
        "inference.yml", "inference_int8.bin", "inference_int8.onnx", "inference_int8.xml",
    ]  # fmt: skip
    assert {(one.mode, one.mtime, one.uid, one.gid, one.uname) for one in members} == {
        (0o644, 0, 0, 0, "")
    }


def test_what_is_unpacked_is_what_was_packed(bundle: Path, target: Path, tmp_path: Path) -> None:
    file = tmp_path / "bundle.tar"
    pack(load_bundle(bundle), file)
    unpack(file, target, LIMIT)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {
        path.name: path.read_bytes() for path in bundle.iterdir()
    }


def test_a_file_that_cannot_be_packed_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    loaded = load_bundle(bundle)
    folder = tmp_path / "taken.tar"
    folder.mkdir()
    with pytest.raises(OSError, match=r"taken\.tar"):
        pack(loaded, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "taken.tar"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (member("../escaped"), "'../escaped' in the tar file is not the name of a file"),
        (member(".."), "'..' in the tar file is not the name"),
        (member("/tmp/escaped"), "'/tmp/escaped' in the tar file is not the name"),  # noqa: S108
        (member("folder/file"), "'folder/file' in the tar file is not the name"),
        (member(".hidden"), "'.hidden' in the tar file is not the name"),
        (member("a\nb"), r"'a\nb' in the tar file is not the name"),
        (member("n" * 101), "is not the name"),
        (member("fine"), "'fine' in the tar file is not the name"),
        (member("folder", tarfile.DIRTYPE), "'folder' in the tar file is not a plain file"),
        (member("link", tarfile.SYMTYPE, linkname="/etc/passwd"), "'link' in the tar file is not"),
        (member("hard", tarfile.LNKTYPE, linkname="fine"), "'hard' in the tar file is not"),
        (member("pipe", tarfile.FIFOTYPE), "'pipe' in the tar file is not a plain file"),
        (member("disk", tarfile.BLKTYPE, devmajor=8), "'disk' in the tar file is not a plain"),
        (member("tty", tarfile.CHRTYPE, devmajor=4), "'tty' in the tar file is not a plain file"),
        (member("big", size=LIMIT + 1), "more files or bytes than are allowed"),
    ],
    ids=lambda value: value.name[:12] if isinstance(value, tarfile.TarInfo) else "",
)
def test_a_wrong_member_leaves_nothing(
    wrong: tarfile.TarInfo, message: str, tmp_path: Path, target: Path
) -> None:
    file = write_tar(tmp_path / "wrong.tar", member("fine"), wrong)
    with pytest.raises(BundleError) as caught:
        unpack(file, target, LIMIT)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert_nothing_written(target)


def test_a_member_may_not_claim_bytes_that_are_not_there(tmp_path: Path, target: Path) -> None:
    file = tmp_path / "claims.tar"
    file.write_bytes(member("big", size=2**40).tobuf() + bytes(1024))
    with pytest.raises(BundleError, match=r"more files or bytes|not a whole tar"):
        unpack(file, target, LIMIT)
    assert_nothing_written(target)


def test_a_sparse_member_is_none(tmp_path: Path, target: Path) -> None:
    """A few bytes in the tar file would be a terabyte of holes."""
    headers = {"GNU.sparse.major": "0", "GNU.sparse.size": str(2**40), "GNU.sparse.map": "0,0"}
    file = tmp_path / "sparse.tar"
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member("holes", pax_headers=headers))
    with pytest.raises(BundleError, match="'holes' in the tar file is not a plain file"):
        unpack(file, target, 2**41)
    assert_nothing_written(target)


def test_there_are_not_too_many(tmp_path: Path, target: Path) -> None:
    many = [member(f"file-{number}") for number in range(MAX_FILES + 1)]
    with pytest.raises(BundleError, match="more files or bytes than are allowed"):
        unpack(write_tar(tmp_path / "many.tar", *many), target, LIMIT)
    assert_nothing_written(target)


def test_the_files_together_are_bounded(tmp_path: Path, target: Path) -> None:
    halves = [member("one", size=LIMIT // 2 + 1), member("two", size=LIMIT // 2 + 1)]
    with pytest.raises(BundleError, match="more files or bytes than are allowed"):
        unpack(write_tar(tmp_path / "both.tar", *halves), target, LIMIT)
    assert_nothing_written(target)


@pytest.mark.parametrize("kind", ["empty", "text", "compressed", "cut"])
def test_what_is_no_whole_tar_file(kind: str, tmp_path: Path, target: Path) -> None:
    good = write_tar(tmp_path / "good.tar", member("one", size=2000)).read_bytes()
    content = {
        "empty": b"",
        "text": b"<html>Please log in</html>" * 100,
        "compressed": gzip.compress(good),
        "cut": good[:1500],
    }
    file = tmp_path / "file"
    file.write_bytes(content[kind])
    with pytest.raises(BundleError, match="not a whole tar file without compression"):
        unpack(file, target, LIMIT)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, target: Path) -> None:
    (target / "taken").mkdir()
    file = write_tar(tmp_path / "file.tar", member("taken", size=7))
    with pytest.raises(StartupError, match=r"cannot write .*/taken: File exists; it needs 7 "):
        unpack(file, target, LIMIT)


def test_a_bundle_of_a_usual_tar_is_taken_too(bundle: Path, tmp_path: Path, target: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in bundle.iterdir():
            archive.add(path, path.name)
    file = tmp_path / "usual.tar"
    file.write_bytes(buffer.getvalue())
    unpack(file, target, LIMIT)
    assert load_bundle(target).name == "tiny"
