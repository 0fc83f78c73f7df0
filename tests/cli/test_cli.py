"""The command line: its output, its help, and one line with exit code 1 for a known failure."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
import typer
import yaml
from commands import Run
from PIL import Image

from app import __version__, cli
from app.delivery import download

ROOT = Path(__file__).parents[2]
CHELSEA = Path(skimage.__file__).parent / "data" / "chelsea.png"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A photo, another one in a subfolder, a damaged photo, and a file that is not a photo."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    Image.fromarray(np.zeros((80, 90, 3), np.uint8)).save(folder / "black.png")
    Image.fromarray(np.full((90, 80, 3), 255, np.uint8)).save(folder / "more" / "white.png")
    (folder / "damaged.png").write_bytes((folder / "black.png").read_bytes()[:50])
    (folder / "notes.txt").write_text("no photo")
    return folder


def test_the_version(run: Run) -> None:
    assert run("--version") == (0, f"photo-classifier {__version__}\n", "")


def all_commands() -> Iterator[tuple[str, ...]]:
    """Yield the words of every command, and () for the program itself."""
    groups: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(cli.app))]
    for words, command in groups:
        yield words
        for name, inner in getattr(command, "commands", {}).items():
            groups.append(((*words, name), inner))


@pytest.mark.parametrize("words", list(all_commands()), ids=" ".join)
def test_every_help_ends_with_examples_to_copy(
    monkeypatch: pytest.MonkeyPatch, run: Run, words: tuple[str, ...]
) -> None:
    """An example stands on one line even at 80 columns, and its options exist."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(*words, "--help")
    assert code == 0
    *_, examples = re.split(r"^ Examples?:\s*\n", out, flags=re.MULTILINE)
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    assert 1 <= len(lines) <= 2
    for line in lines:
        assert line.startswith(".venv/bin/python -m app ")
        arguments = shlex.split(line)[3:]
        assert tuple(arguments[: len(words)]) == words
        command: Any = typer.main.get_command(cli.app)
        while hasattr(command, "commands"):
            command = command.commands[arguments.pop(0)]
        if arguments != ["--help"]:
            command.make_context("app", arguments)


def test_the_help_of_serve_says_where_the_other_settings_stand(run: Run) -> None:
    out = run("serve", "--help").out
    assert "environment variables that begin with CLASSIFIER_" in out
    assert "docs/settings.md" in out


def test_a_photo(run: Run, default_bundle: Path) -> None:
    code, out, _ = run("predict", CHELSEA, "--model-dir", default_bundle)
    assert code == 0
    row = next(line for line in out.splitlines() if "chelsea.png" in line)
    assert "tiger cat" in row
    assert "0.395" in row


def test_a_folder_with_a_damaged_file(run: Run, photos: Path, small_bundle: Path) -> None:
    code, out, _ = run("predict", photos, "--model-dir", small_bundle)
    assert code == 1
    assert "damaged.png" in out
    assert "truncated or damaged" in out
    assert out.count("dog") == out.count("Gänseblümchen") == 2
    assert "notes.txt" not in out


def test_a_json_line_for_each_file(run: Run, photos: Path, small_bundle: Path) -> None:
    code, out, _ = run("predict", "--json", "--top-k", 2, photos, "--model-dir", small_bundle)
    black, damaged, white = map(json.loads, out.splitlines())
    assert code == 1
    assert black["file"] == str(photos / "black.png")
    assert [len(answer["predictions"]) for answer in (black, white)] == [2, 2]
    assert black["predictions"][0]["score"] >= black["predictions"][1]["score"]
    assert white["image"] == {"width": 80, "height": 90, "format": "PNG"}
    assert damaged["code"] == "broken_image"


def test_a_missing_file_is_named(run: Run, tmp_path: Path, small_bundle: Path) -> None:
    code, out, _ = run("predict", "--json", tmp_path / "no.png", "--model-dir", small_bundle)
    assert code == 1
    assert json.loads(out)["detail"] == "The file cannot be read: No such file or directory"


def test_names_stand_as_they_are(run: Run, photos: Path, small_bundle: Path) -> None:
    odd = photos / "[red]:cat:[x].png"
    (photos / "black.png").rename(odd)
    code, out, _ = run("predict", odd, "--model-dir", small_bundle)
    assert code == 0
    assert str(odd) in out


@pytest.mark.slow
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_a_name_that_is_not_utf8(
    form: list[str], run: Run, photos: Path, small_bundle: Path
) -> None:
    odd = photos / "caf\udce9.png"
    (photos / "black.png").rename(odd)
    code, out, _ = run("predict", odd, "--model-dir", small_bundle, *form)
    assert code == 0
    assert "caf\\udce9.png" in out
    if form:
        assert Path(json.loads(out)["file"]).samefile(odd)


def test_the_origins(run: Run, default_bundle: Path) -> None:
    code, out, _ = run("weights", "list")
    rows = {line.split()[0]: line.split()[-4:] for line in out.splitlines()}
    assert code == 0
    assert rows[default_bundle.name] == ["71.3%", "90.1%", "yes", "yes"]
    assert rows["MobileNetV2_x2_0"][:3] == ["75.2%", "92.6%", "no"]


def test_the_summary(run: Run) -> None:
    code, out, _ = run("summary", "--scale", 0.25, "--classes", 17)
    assert code == 0
    assert "scale 0.25" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weights", "build", "nothing"], "no origin 'nothing'; sources.toml has MobileNetV2_x1_0"),
        (["weights", "build", "paddleclas:ResNet18"], "paddleclas:ResNet18 needs its parameters"),
        (["weights", "import", "missing.h5"], "missing.h5 is not Keras's MobileNetV2"),
        (["weights", "import", "missing.pdparams"], "missing.pdparams cannot be read"),
        (
            ["predict", "a.png", "--model-dir", "missing"],
            "missing: no such model directory; run make weights, or name another one with",
        ),
        (["predict", "requirements"], "no photo was found; name a photo or a folder"),
    ],
)
def test_a_known_failure_is_one_line(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert code == 1
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_no_place_to_write_is_one_line(run: Run, tmp_path: Path, default_bundle: Path) -> None:
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "bundle"
    code, _, err = run("weights", "build", default_bundle.name, "--output", output)
    assert code == 1
    *progress, last = err.splitlines()
    assert last.startswith("error: [Errno ")
    assert not any(line.startswith("error") for line in progress)


def test_an_origin_out_of_reach_is_an_error_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "RETRY_PAUSES_S", ())
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    code, _, err = run("weights", "build", "MobileNetV2_x0_25")
    assert code == 1
    assert err.splitlines()[-1].startswith("error: https://paddle-imagenet-models-name")
    assert "weights import FILE" in err


def one_label_more(config: Any) -> None:  # noqa: ANN401  (YAML values have any type)
    config["PostProcess"]["Topk"]["label_list"].append("one more")


def an_unknown_op(config: Any) -> None:  # noqa: ANN401  (YAML values have any type)
    config["PreProcess"]["transform_ops"].append({"Rotate": None})


def another_hash(config: Any) -> None:  # noqa: ANN401  (YAML values have any type)
    config["Provenance"]["sha256"]["inference.pdiparams"] = "0" * 64


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (one_label_more, "4 labels, but the network has 3 classes"),
        (an_unknown_op, "unknown transform op 'Rotate'"),
        (another_hash, "inference.pdiparams is not the file recorded here"),
        (lambda config: config.clear(), "PreProcess.transform_ops is missing"),
    ],
    ids=["labels", "op", "hash", "empty"],
)
def test_a_bundle_of_no_use_is_not_served(
    change: Callable[[Any], None], message: str, small_bundle: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(small_bundle, tmp_path / "bundle")
    config = yaml.safe_load((bundle / "inference.yml").read_text("utf-8"))
    change(config)
    (bundle / "inference.yml").write_text(yaml.safe_dump(config), "utf-8")
    assert_not_served(message, str(bundle))


def test_a_missing_bundle_is_not_served(tmp_path: Path) -> None:
    assert_not_served("no such model directory", str(tmp_path / "missing"))


def test_with_an_unknown_setting_nothing_is_served(small_bundle: Path) -> None:
    message = "CLASSIFIER_PROT is not a setting; did you mean CLASSIFIER_PORT?"
    assert_not_served(message, str(small_bundle), {"CLASSIFIER_PROT": "80"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "file", "what"),
    [("onnxruntime", "inference.onnx", "onnx"), ("openvino", "inference.xml", "openvino")],
)
def test_without_its_file_an_engine_serves_nothing(
    small_bundle: Path, engine: str, file: str, what: str
) -> None:
    message = f"{small_bundle} has no {file}: run `.venv/bin/python -m app weights {what}"
    assert_not_served(message, str(small_bundle), {"CLASSIFIER_ENGINE": engine})


def assert_not_served(message: str, model_dir: str, env: dict[str, str] | None = None) -> None:
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--model-dir", model_dir]
    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | (env or {}), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
