"""Tables: what is written stays, what a kill leaves is repaired, what is not ours is refused."""

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from many_photos import names, rows

from app.bulk.parquet import FileTable, PartsTable
from app.bulk.records import Record, Wishes, answered, failed
from app.bulk.tables import Table, opened
from app.bulk.text import Csv, JsonLines, TextTable, unpacked
from app.errors import StartupError
from app.model.bundle import Bundle, load_bundle
from app.model.post_process import Prediction
from app.model.unfamiliarity import Limit

WISHES = Wishes(embeddings=True)
OUTPUTS = ("table.jsonl", "table.csv", "table.parquet", "table")


def record(name: str) -> Record:
    best = [
        Prediction(class_id=1, label="dog", score=0.5),
        Prediction(class_id=0, label='"cat", a', score=0.25),
    ]
    return answered(name, best, np.array([1.5, -2], np.float32), unfamiliarity=0.25)


RECORDS = [record("a.jpg"), failed("b, c.jpg", "broken_image", "It is\ncut"), record("ü.jpg")]


@pytest.fixture
def bundle(small_bundle: Path) -> Bundle:
    return load_bundle(small_bundle)


def table_of(path: Path, part_records: int = 4) -> Table:
    """Return a table whose parts are small."""
    if path.suffix == ".csv":
        return TextTable(path, Csv(WISHES.columns))
    if path.suffix == ".jsonl":
        return TextTable(path, JsonLines(WISHES.columns))
    if path.suffix == ".parquet":
        return FileTable(path, WISHES.columns, part_records)
    return PartsTable(path, WISHES.columns, part_records)


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_rows_are_the_same_in_each_form(tmp_path: Path, name: str) -> None:
    table = table_of(tmp_path / name)
    assert list(table.names()) == []
    table.write(RECORDS)
    table.finish()
    first, broken, last = rows(tmp_path / name)
    assert [row["path"] for row in (first, broken, last)] == ["a.jpg", "b, c.jpg", "ü.jpg"]
    text = name.endswith(".csv")
    assert first["label"] == "dog"
    assert float(str(first["score"])) == 0.5
    assert first["class_ids"] == ("[1, 0]" if text else [1, 0])
    assert first["labels"] == (r'["dog", "\"cat\", a"]' if text else ["dog", '"cat", a'])
    assert first["scores"] == ("[0.5, 0.25]" if text else [0.5, 0.25])
    assert first["unfamiliar"] == ("False" if text else False)
    assert first["unfamiliarity"] == ("0.25" if text else 0.25)
    assert first["error"] == first["error_code"] == ("" if text else None)
    vector = first["embedding"]
    assert list(unpacked(vector) if isinstance(vector, str) else vector) == [1.5, -2]  # type: ignore[call-overload]
    assert broken["error_code"] == "broken_image"
    assert broken["error"] == ("It is cut" if text else "It is\ncut")
    assert broken["label"] == broken["scores"] == broken["embedding"] == ("" if text else None)


@pytest.mark.parametrize("name", OUTPUTS)
def test_odd_names_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    odd = [r"caf\xe9.png", r"caf\x5cxe9.png", r"two\x0alines.png", '"quoted", .png', "a.png"]
    odd += ["a\u2028b.png", "a\x85b.png"]
    table = table_of(tmp_path / name)
    assert list(table.names()) == []
    table.write([record(one) for one in odd])
    assert list(table_of(tmp_path / name).names()) == odd
    table.finish()
    assert list(table_of(tmp_path / name).names()) == names(tmp_path / name) == odd


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_table_without_photos_is_a_table(tmp_path: Path, name: str) -> None:
    table = table_of(tmp_path / name)
    assert list(table.names()) == []
    table.finish()
    assert rows(tmp_path / name) == []


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_finished_table_can_grow(tmp_path: Path, name: str) -> None:
    expected: list[str] = []
    for turn in range(3):
        table = table_of(tmp_path / name)
        assert list(table.names()) == expected
        for i in range(6):
            table.write([record(f"{turn}-{i}")])
            expected.append(f"{turn}-{i}")
        table.finish()
        assert names(tmp_path / name) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["table.jsonl", "table.csv"])
def test_an_unfinished_line_is_cut_off(tmp_path: Path, name: str) -> None:
    """Wherever the file ends, the whole lines stay and the rest can be written again."""
    path = tmp_path / name
    table_of(path).write(RECORDS)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        table = table_of(path)
        done = list(table.names())
        assert done == [one["path"] for one in RECORDS][: len(done)]
        table.write(RECORDS[len(done) :])
        assert path.read_bytes() == whole


@pytest.mark.parametrize("name", ["table.jsonl", "table.csv"])
def test_a_foreign_line_is_told_with_its_number(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table_of(path).write(RECORDS)
    with path.open("a") as file:
        file.write("something else\n")
    number = len(path.read_text().splitlines())
    with pytest.raises(StartupError, match=rf"{name}:{number}: this is no line of this table"):
        list(table_of(path).names())


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["table.parquet", "table"])
@pytest.mark.parametrize("calls", range(1, 14))
def test_a_kill_between_any_two_steps_loses_and_doubles_nothing(
    tmp_path: Path, name: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps are what changes the disk: a file is moved, removed, or made durable."""
    path = tmp_path / name
    expected = [f"{i}.jpg" for i in range(10)]

    def work() -> None:
        table = table_of(path, part_records=3)
        done = set(table.names())
        for one in expected:
            if one not in done:
                table.write([record(one)])
        table.finish()

    left = calls

    def killing(step: Callable[..., object]) -> Callable[..., object]:
        def stepped(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return step(*arguments, **options)

        return stepped

    with monkeypatch.context() as patch:
        for owner, step in ((Path, "replace"), (Path, "rename"), (Path, "unlink"), (os, "fsync")):
            patch.setattr(owner, step, killing(getattr(owner, step)))
        for _ in range(30):
            left = calls
            try:
                work()
            except Killed:
                continue
            break
    work()
    assert sorted(names(path)) == sorted(expected)
    assert not list(tmp_path.glob("**/_*"))


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """A limit on the size of files stands for a full disk, because both fail in `write`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_full_disk_leaves_nothing_half(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table = table_of(path, part_records=1000)
    list(table.names())
    table.write(RECORDS)
    more = [record(f"{i}.jpg") for i in range(100)]
    with full_disk(4000), pytest.raises(OSError, match=name) as raised:
        table.write(more)
    assert raised.value.errno == errno.EFBIG
    table.write(more)
    table.finish()
    assert names(path) == [one["path"] for one in (*RECORDS, *more)]


def test_a_part_that_does_not_fit_stays_in_the_journal(tmp_path: Path) -> None:
    table = table_of(tmp_path / "table", part_records=1000)
    list(table.names())
    table.write([record("a.jpg")])
    with full_disk(500), pytest.raises(OSError, match=r"part-000000\.parquet"):
        table.finish()
    assert [file.name for file in (tmp_path / "table").iterdir()] == ["_part-000000.jsonl"]
    table.finish()
    assert names(tmp_path / "table") == ["a.jpg"]


@pytest.mark.parametrize("name", OUTPUTS)
def test_something_else_at_its_place_is_refused(tmp_path: Path, bundle: Bundle, name: str) -> None:
    path = tmp_path / name
    if path.suffix:
        path.write_text("mine")
    else:
        (path / "mine").mkdir(parents=True)
    with (
        pytest.raises(StartupError, match="this command has not begun it: name another"),
        opened(path, WISHES, bundle, "paddle"),
    ):
        pass


def test_an_unknown_ending_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    path = tmp_path / "table.xlsx"
    with (
        pytest.raises(StartupError, match=r"ends in \.jsonl, \.csv or \.parquet"),
        opened(path, WISHES, bundle, "paddle"),
    ):
        pass


def test_another_bundle_engine_or_wish_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    path = tmp_path / "table.csv"
    with opened(path, Wishes(), bundle, "paddle") as table:
        table.write(RECORDS)
    before = path.read_bytes()
    labels = replace(bundle, post_process=replace(bundle.post_process, labels=("a", "b", "c")))
    others = [
        (Wishes(), replace(bundle, version="abc"), "paddle", f"version {bundle.version}"),
        (Wishes(), replace(bundle, limit=Limit(0.25, 0)), "paddle", "limit None"),
        (Wishes(), labels, "paddle", "reading"),
        (Wishes(), bundle, "openvino-int8", "engine float32, and this command has engine openvino"),
        (Wishes(top_k=2), bundle, "paddle", "top_k None"),
        (Wishes(embeddings=True), bundle, "paddle", "embeddings False"),
    ]
    for wishes, other, engine, words in others:
        with (
            pytest.raises(StartupError, match=f"{words}.*name another --output, or delete"),
            opened(path, wishes, other, engine),  # type: ignore[arg-type]
        ):
            pass
    assert path.read_bytes() == before
    # Another engine that computes in float32 may go on.
    with opened(path, Wishes(), bundle, "openvino") as table:
        assert len(list(table.names())) == len(RECORDS)


def test_two_runs_do_not_write_to_one_table(tmp_path: Path, bundle: Bundle) -> None:
    path = tmp_path / "table"
    with (
        opened(path, WISHES, bundle, "paddle"),
        pytest.raises(StartupError, match="another run writes to"),
        opened(path, WISHES, bundle, "paddle"),
    ):
        pass
    with opened(path, WISHES, bundle, "paddle"):
        pass


def test_readers_of_a_folder_see_only_its_parts(tmp_path: Path, bundle: Bundle) -> None:
    path = tmp_path / "table"
    with opened(path, WISHES, bundle, "paddle") as table:
        list(table.names())
        table.write(RECORDS)
        table.finish()
        list(table.names())
        table.write([record("d.jpg")])
        assert pq.read_table(path).num_rows == len(RECORDS)
