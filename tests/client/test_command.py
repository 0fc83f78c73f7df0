"""The command `classify` of clients/python against the real service."""

import csv
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from photo_classifier import command
from photo_classifier.command import main
from running import RunningServer

from app.bench.measure.launch import free_port

ROOT = Path(__file__).parents[2]
CAT = ROOT / "docs" / "cat.jpg"
KEY = "a-key-0123456789"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with 7 photos, one of them broken, and a file that is none."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for i in range(6):
        shutil.copy(CAT, folder / "below" / f"{i:02}.JPG")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n, and no more")
    (folder / "notes.txt").write_text("no photo")
    return folder


def test_a_full_service_is_not_overloaded(
    folder: Path, default_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "answers.csv"
    settings = {"capacity": 1, "longest_wait_s": 0.001, "api_keys": KEY}
    with RunningServer(default_bundle, tmp_path / "log", workers=1, **settings) as server:
        arguments = [server.url, str(folder), "--key", KEY, "--top-k", "2"]
        assert main([*arguments, "--output", str(table)]) == 1
        metrics = server.client.get("/metrics").text
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    cats = rows[:-1]
    assert [row["rank"] for row in cats] == ["1", "2"] * 6
    assert {row["label"] for row in cats} == {"tiger cat", "Egyptian cat"}
    files = [str(folder / "below" / f"{i:02}.JPG") for i in range(6)]
    assert [row["file"] for row in cats[::2]] == files
    assert Path(rows[-1]["file"]).name == "broken.png"
    assert rows[-1]["error"].startswith("broken_image: ")
    assert "7 photos in " in capsys.readouterr().err
    # Each photo was answered once, whatever was refused meanwhile.
    assert 'classifier_outcomes_total{reason="ok"} 6.0' in metrics


def test_it_shows_its_progress_on_a_terminal(
    folder: Path, default_bundle: Path, tmp_path: Path
) -> None:
    source = ROOT / "clients" / "python" / "src"
    own, terminal = pty.openpty()
    with RunningServer(default_bundle, tmp_path / "log", workers=1) as server:
        ended = subprocess.run(
            [sys.executable, "-m", "photo_classifier.command", server.url, str(folder)],
            env=os.environ | {"PYTHONPATH": str(source)},
            stdout=subprocess.PIPE,
            stderr=terminal,
            check=False,
        )
    os.close(terminal)
    shown = os.read(own, 100_000).decode()
    os.close(own)
    assert ended.returncode == 1
    assert len(ended.stdout.splitlines()) == 8
    assert "[#####" in shown
    assert "7 of 7, 0 s left, 1 errors" in shown
    assert "7 photos in " in shown.splitlines()[-1]


def test_a_file_name_that_is_no_text_stands_in_the_table(
    tmp_path: Path, default_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / os.fsdecode(b"caf\xe9.JPG")
    shutil.copy(CAT, photo)
    table = tmp_path / "answers.csv"
    with RunningServer(default_bundle, tmp_path / "log", workers=1) as server:
        assert main([server.url, str(photo), "--output", str(table)]) == 0
        assert main([server.url, str(photo), "--output", str(tmp_path / "none" / "a.csv")]) == 2
    assert f"{tmp_path}/caf\\udce9.JPG,1,tiger cat" in table.read_text()
    assert "No such file or directory" in capsys.readouterr().err


def test_who_has_no_service_is_told_so(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert main([url, str(folder), "--timeout-s", "0.5"]) == 2
    assert "no answer" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main([url, str(tmp_path / "empty")]) == 2
    assert "has no photos" in capsys.readouterr().err
    assert main([url, str(tmp_path / "nothing")]) == 2
    assert "nothing: no such file or folder" in capsys.readouterr().err


def test_who_waits_for_a_service_is_told_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "PATIENCE_S", 0.1)
    url = f"http://127.0.0.1:{free_port()}"
    assert main([url, str(folder), "--timeout-s", "1.5"]) == 2
    told = f"no answer from {url} yet; each photo waits for at most 1.5 s"
    assert capsys.readouterr().err.splitlines()[0] == told
