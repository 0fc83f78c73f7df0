"""The command itself, killed and started again: each photo has one row, whatever happens."""

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pytest
from commands import Run
from drawn import COLOURS, draw
from many_photos import BROKEN, add_broken, assert_each_once, draw_photos, names, rows
from networks import SIDE, colour_network, export_dazzled, small_card
from running import cmdline, process_name, until

from app.bench.measure.processes import descendants
from app.bulk.text import unpacked
from app.images.decoding import decode
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.model.features import FeatureNetwork
from app.model.offline import FilePrediction, predict
from app.training.network.export import export

ROOT = Path(__file__).parents[2]
OUTPUTS = ("table.jsonl", "table.csv", "table.parquet", "table")
# A line of text, or a journal that becomes parts and then a file. In tests/bulk/test_tables.py,
# each form meets a kill at any step, and a full disk.
WRITERS = ("table.csv", "table.parquet")
# A slow machine starts a worker slowly, and batch sizes need not be measured here.
ENVIRONMENT = os.environ | {"CLASSIFIER_WORKERS": "1", "CLASSIFIER_MAX_BATCH_SIZE": "4"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSIFIER_WORKERS", "1")
    monkeypatch.setenv("CLASSIFIER_MAX_BATCH_SIZE", "4")


def command(source: object, output: Path, bundle: Path, *more: str) -> list[str]:
    words = [source, "--output", output, "--model-dir", bundle, *more]
    return [sys.executable, "-m", "app", "classify", *map(str, words)]


def ended(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def written(output: Path) -> int:
    """Return about how many rows of a run are on the disk, in whatever file."""
    files = [output] if output.is_file() else [*output.parent.glob(f"{output.name}*/_part*.jsonl")]
    return sum(file.read_bytes().count(b"\n") for file in files)


def more_than(output: Path, rows: int) -> bool:
    return written(output) > rows


def killed_after(arguments: Sequence[str], output: Path, more: int) -> None:
    """Kill the command when it has written so many more rows; wait for the end of its processes."""
    before = written(output) if output.exists() else 0
    process = subprocess.Popen(arguments, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    until(lambda: process.poll() is not None or written(output) >= before + more)
    assert process.poll() is None
    children = descendants(process.pid)
    process.kill()
    process.wait()
    until(lambda: not any(b"forkserver" in cmdline(pid) for pid in children))
    until(lambda: not any(process_name(pid) in {"worker", "decoder"} for pid in children))


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_killed_twice_each_photo_has_one_row(tmp_path: Path, small_bundle: Path, name: str) -> None:
    folder, output = tmp_path / "photos", tmp_path / name
    photos = draw_photos(folder, 1000) | add_broken(folder)
    arguments = command(folder, output, small_bundle)
    for more in (1, 300):
        killed_after(arguments, output, more)
    line = last_line(ended(arguments))
    assert_each_once(output, photos)
    counts = re.search(r"1,004 photos: ([\d,]+) classified, \d errors?, ([\d,]+) were there", line)
    assert counts
    assert int(counts[2].replace(",", "")) > 300
    codes = {Path(str(row["path"])).name: row["error_code"] for row in rows(output)}
    assert {photo: code for photo, code in codes.items() if code} == BROKEN
    assert not [*tmp_path.glob(f"{name}.*/"), *tmp_path.glob("**/_part*")]


@pytest.mark.slow
def test_the_answers_are_those_of_predict(tmp_path: Path, small_bundle: Path, run: Run) -> None:
    folder, output = tmp_path / "photos", tmp_path / "table.jsonl"
    photos = sorted(draw_photos(folder, 7) | add_broken(folder))
    assert run("classify", folder, "--output", output, "--model-dir", small_bundle).code == 0
    bundle = load_bundle(small_bundle)
    found = {row["path"]: row for row in rows(output)}
    for answer in predict([Path(p) for p in photos], bundle, Engine(bundle), None, 10**6):
        row = found[answer.file]
        if isinstance(answer, FilePrediction):
            assert row["class_ids"] == [one.class_id for one in answer.predictions]
            assert row["labels"] == [one.label for one in answer.predictions]
            assert row["scores"] == pytest.approx(
                [one.score for one in answer.predictions], abs=1e-5
            )
            assert (row["label"], row["score"]) == (row["labels"][0], row["scores"][0])  # type: ignore[index]
            assert row["unfamiliar"] is row["error"] is row["error_code"] is None
        else:
            assert row["label"] is row["score"] is row["labels"] is None
            assert row["error"]


@pytest.mark.slow
def test_rows_stand_in_the_order_of_the_source(
    tmp_path: Path, small_bundle: Path, run: Run
) -> None:
    folder, output = tmp_path / "photos", tmp_path / "table.csv"
    photos = draw_photos(folder, 50)
    run("classify", folder, "--output", output, "--model-dir", small_bundle)
    assert names(output) == sorted(photos)


@pytest.mark.slow
def test_only_new_photos_are_added(tmp_path: Path, small_bundle: Path, run: Run) -> None:
    folder, output = tmp_path / "photos", tmp_path / "table.parquet"
    photos = draw_photos(folder, 8)
    arguments = ("classify", folder, "--output", output, "--model-dir", small_bundle)
    assert "8 photos: 8 classified, 0 errors; it took" in run(*arguments).out
    assert "8 photos: 0 classified, 0 errors, 8 were there already" in run(*arguments).out
    draw(folder / "new.png", COLOURS["cat"], 99)
    done = run(*arguments)
    assert "9 photos, 1 of them to classify" in done.out
    assert "9 photos: 1 classified, 0 errors, 8 were there already" in done.out
    assert_each_once(output, photos | {str(folder / "new.png")})


@pytest.mark.slow
def test_names_that_are_not_utf8_have_rows(tmp_path: Path, small_bundle: Path, run: Run) -> None:
    folder, output = tmp_path / "photos", tmp_path / "table.csv"
    draw(folder / "a.png", COLOURS["cat"], 0)
    for other in (b"caf\xe9.png", rb"caf\xe9.png", b"two\nlines.png", b'"quoted", .png'):
        os.link(folder / "a.png", os.fsencode(folder) + b"/" + other)
    for _ in range(2):
        run("classify", folder, "--output", output, "--model-dir", small_bundle)
    shown = (r"caf\xe9.png", r"caf\x5cxe9.png", r"two\x0alines.png", '"quoted", .png', "a.png")
    assert_each_once(output, {f"{folder}/{one}" for one in shown})
    assert not any(row["error"] for row in rows(output))


@pytest.mark.slow
def test_a_list_with_a_photo_twice_has_one_row(
    tmp_path: Path, small_bundle: Path, run: Run
) -> None:
    draw(tmp_path / "a.png", COLOURS["cat"], 0)
    (tmp_path / "list.txt").write_text("a.png\nmissing.png\na.png\n")
    output = tmp_path / "table.jsonl"
    source = tmp_path / "list.txt"
    done = run("classify", source, "--output", output, "--model-dir", small_bundle)
    assert "2 photos: 1 classified, 1 error; it took" in done.out
    assert_each_once(output, {f"{tmp_path}/a.png", f"{tmp_path}/missing.png"})


@pytest.mark.slow
def test_photos_in_object_storage(tmp_path: Path, small_bundle: Path, run: Run) -> None:
    draw(tmp_path / "a.png", COLOURS["cat"], 0)
    storage = fsspec.filesystem("memory")
    for i in range(20):
        storage.pipe(f"/bucket/{i:02}", (tmp_path / "a.png").read_bytes())
    storage.pipe("/bucket/empty.jpg", b"")
    output = tmp_path / "table.parquet"
    try:
        done = run("classify", "memory://bucket", "--output", output, "--model-dir", small_bundle)
    finally:
        storage.rm("/", recursive=True)
    assert "21 photos: 20 classified, 1 error; it took" in done.out
    objects = [*(f"{i:02}" for i in range(20)), "empty.jpg"]
    assert_each_once(output, {f"memory:///bucket/{name}" for name in objects})


@pytest.mark.slow
def test_embeddings(tmp_path: Path, small_bundle: Path, run: Run) -> None:
    folder, output = tmp_path / "photos", tmp_path / "table.jsonl"
    draw(folder / "a.png", COLOURS["cat"], 0, (SIDE, SIDE))
    add_broken(folder)
    done = run("classify", folder, "--output", output, "--model-dir", small_bundle, "--embeddings")
    assert done.code == 0, done.err
    found = {Path(str(row["path"])).name: row["embedding"] for row in rows(output)}
    assert {name for name, vector in found.items() if vector is None} == set(BROKEN)
    bundle = load_bundle(small_bundle)
    pixels = decode((folder / "a.png").read_bytes(), bundle.preprocessing, 10**6).pixels
    (expected,) = FeatureNetwork(bundle)(pixels[np.newaxis]).vectors
    vector = unpacked(str(found["a.png"]))
    assert vector is not None
    assert np.abs(vector - expected).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTPUTS)
def test_an_empty_folder_gives_an_empty_table(
    tmp_path: Path, small_bundle: Path, run: Run, name: str
) -> None:
    (tmp_path / "photos").mkdir()
    output = tmp_path / name
    done = run("classify", tmp_path / "photos", "--output", output, "--model-dir", small_bundle)
    assert done.code == 0
    assert re.search(r"0 photos: 0 classified, 0 errors; it took \d\.\d s", done.out)
    assert rows(output) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_that_cannot_be_written_is_told_at_once(
    tmp_path: Path, small_bundle: Path, run: Run, name: str
) -> None:
    (tmp_path / "file").touch()
    output = tmp_path / "file" / name
    done = run("classify", tmp_path, "--output", output, "--model-dir", small_bundle)
    assert done.code == 1
    assert re.fullmatch(r"error: .*Not a directory: '.*file/table.*'\n", done.err)


@pytest.mark.slow
def test_another_bundle_is_refused(tmp_path: Path, small_bundle: Path, run: Run) -> None:
    (tmp_path / "photos").mkdir()
    output, other = tmp_path / "table.csv", tmp_path / "other"
    export(colour_network(), small_card(), other)
    arguments = ("classify", tmp_path / "photos", "--output", output, "--model-dir")
    assert run(*arguments, small_bundle).code == 0
    done = run(*arguments, other)
    assert done.code == 1
    version = load_bundle(small_bundle).version
    assert f"error: {output} has answers with version {version}, and this command" in done.err
    assert f"name another --output, or delete {output} and {output}.manifest.json" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_becomes_full_is_told_and_the_rest_follows(
    tmp_path: Path, small_bundle: Path, name: str
) -> None:
    """A limit on the size of files stands for a full disk, because both fail in `write`."""
    folder, output = tmp_path / "photos", tmp_path / name
    photos = draw_photos(folder, 1500)
    arguments = command(folder, output, small_bundle)
    with subprocess.Popen(
        arguments, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        until(lambda: written(output) > 0)
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, hard))
        _, told = process.communicate()
    assert process.returncode == 1
    assert re.fullmatch(
        rf"error: cannot write {tmp_path}/table\S*: File too large; the photos that are left need "
        r"about \d\.\d MB\. The same command goes on where this one stopped",
        told.decode().splitlines()[-1],
    )
    assert 0 < written(output) < len(photos)
    last_line(ended(arguments))
    assert_each_once(output, photos)


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(tmp_path: Path, small_bundle: Path) -> None:
    folder, output = tmp_path / "photos", tmp_path / "table.csv"
    photos = draw_photos(folder, 1500)
    arguments = command(folder, output, small_bundle)
    with subprocess.Popen(
        arguments, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        until(lambda: written(output) > 0)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    line = out.decode().splitlines()[-1]
    assert re.search(r"1,500 photos: [\d,]+ classified, 0 errors, [\d,]+ left; it took", line)
    assert line.endswith("; the same command goes on from here")
    assert "error" not in err.decode()
    assert "Traceback" not in err.decode()
    last_line(ended(arguments))
    assert_each_once(output, photos)


@pytest.mark.slow
def test_a_photo_that_breaks_the_network_is_a_row(tmp_path: Path, run: Run) -> None:
    export_dazzled(tmp_path / "bundle")
    folder, output = tmp_path / "photos", tmp_path / "table.jsonl"
    for i in range(6):
        draw(folder / f"{i}.png", (250, 250, 250) if i == 3 else COLOURS["cat"], i)
    run("classify", folder, "--output", output, "--model-dir", tmp_path / "bundle")
    assert [row["error_code"] for row in rows(output)] == [None] * 3 + ["inference_failed"] + [
        None
    ] * 2


@pytest.mark.slow
def test_lost_workers_and_decoders_are_replaced(tmp_path: Path, small_bundle: Path) -> None:
    folder, output = tmp_path / "photos", tmp_path / "table.jsonl"
    photos = draw_photos(folder, 1500)
    with subprocess.Popen(
        command(folder, output, small_bundle), cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE
    ) as process:
        for kind in ("worker", "decoder"):
            until(partial(more_than, output, written(output)))
            for pid in descendants(process.pid):
                if process_name(pid) == kind:
                    os.kill(pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == 0
    assert_each_once(output, photos)
    assert not any(row["error"] for row in rows(output))


def test_a_missing_extra_names_its_make_target(
    tmp_path: Path, small_bundle: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pyarrow", "ray"):
        monkeypatch.setitem(sys.modules, module, None)
    for name in ("app.bulk.parquet", "app.bulk.cluster"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    draw(tmp_path / "photos/a.png", COLOURS["cat"], 0)
    arguments = ("classify", tmp_path / "photos", "--model-dir", small_bundle, "--output")
    done = run(*arguments, tmp_path / "table")
    assert "error: Parquet needs pyarrow: install requirements/bulk.txt" in done.err
    done = run(*arguments, tmp_path / "table.csv", "--ray", "local")
    assert "error: --ray needs Ray: install requirements/ray.txt" in done.err


def test_a_local_table_needs_no_extra() -> None:
    program = "import sys, app.bulk.run, app.bulk.tables; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True, cwd=ROOT).split()
    assert "app.bulk.machine" in loaded
    assert {"pyarrow", "fsspec", "ray", "paddle"}.isdisjoint(loaded)
