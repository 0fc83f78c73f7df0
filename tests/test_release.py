"""A release: one version everywhere, the same bytes twice, and what is left out is named."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from app import __version__
from release import bills, checksums, images, packages, twice
from release.commit import Commit

ROOT = Path(__file__).parents[1]
LABEL = "org.opencontainers.image."
LABELS = {
    *("base.name", "created", "description", "documentation", "licenses", "revision", "source"),
    *("title", "version"),
}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
# A docker that writes down how it was called, and saves an image as an empty file.
DOCKER = """#!/bin/sh
echo "$@" >> "{folder}/calls"
case "$1 $2" in
    version*) echo amd64 ;;
    "buildx inspect") echo "Platforms: {platforms}" ;;
    save*) touch "$3" ;;
esac
"""


def versions() -> Iterator[tuple[str, str]]:
    """Yield each place that names the version, and what it says."""
    for path in ("pyproject.toml", "clients/python/pyproject.toml"):
        yield path, tomllib.loads((ROOT / path).read_text())["project"]["version"]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    yield "docker-compose.yml", services["classifier"]["image"].partition(":")[2]
    yield "Dockerfile", re.findall(r"^ARG VERSION=(.+)$", DOCKERFILE, re.MULTILINE)[0]
    yield "CHANGELOG.md", re.findall(r"^## ([\d.]+),", CHANGELOG, re.MULTILINE)[0]
    tag = re.compile(r"(?:photo-classifier:|newTag: \"?)(\d+\.\d+[\w.]*)")
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    for page in [*(ROOT / "k8s").rglob("*.yaml"), *pages]:
        for found in tag.findall(page.read_text()):
            yield str(page.relative_to(ROOT)), found


def test_each_place_names_the_same_version() -> None:
    found = list(versions())
    assert len(found) > 20
    assert [one for one in found if one[1] != __version__] == []


def test_the_changelog_begins_with_the_version_and_its_day() -> None:
    first = re.findall(r"^## .+$", CHANGELOG, re.MULTILINE)[0]
    assert re.fullmatch(rf"## {re.escape(__version__)}, \d{{4}}-\d\d-\d\d", first)


def test_the_image_has_all_labels_and_each_has_its_argument() -> None:
    labels = dict(re.findall(rf'{re.escape(LABEL)}([\w.]+)="([^"]+)"', DOCKERFILE))
    assert labels.keys() == LABELS
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    arguments = set(re.findall(r"^ARG (\w+)", last, re.MULTILINE))
    used = {name for value in labels.values() for name in re.findall(r"\$(\w+)", value)}
    assert used <= arguments
    recipe = subprocess.check_output(["make", "--dry-run", "image"], cwd=ROOT, text=True)
    for name in ("VERSION", "REVISION", "CREATED"):
        assert re.search(rf"--build-arg {name}=\S+", recipe), name
    # The dashboards and the image name the same address.
    site = yaml.safe_load((ROOT / "k8s/monitoring/source/site.yml").read_text())
    (source,) = re.findall(r"^ARG SOURCE=(.+)$", DOCKERFILE, re.MULTILINE)
    assert site["runbooks"].startswith(f"{source}/")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages, bills and checksums of the present commit."""
    folder = tmp_path_factory.mktemp("dist")
    commit = Commit.checked_out()
    with commit.exported() as source:
        packages.build(source, folder, commit)
        bills.write(source, folder, commit)
    checksums.write(folder)
    return folder


@pytest.mark.slow
def test_another_build_has_the_same_bytes(released: Path) -> None:
    lines = (released / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split() for line in lines)}
    assert twice.build_elsewhere(Commit.checked_out()) == sums


def test_a_file_that_differs_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert twice.report({"a": "1", "b": "2"}, {"a": "1", "b": "2"}) == 0
    assert twice.report({"a": "1", "b": "2"}, {"a": "3", "c": "4"}) == 1
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "two builds gave the same bytes",
        "a differs: 1 and then 3",
        "b differs: 2 and then None",
        "c differs: None and then 4",
        "the two builds differ",
    ]


@pytest.mark.slow
def test_a_release_has_packages_bills_and_checksums(released: Path) -> None:
    names = {path.name for path in released.iterdir()}
    assert names == {
        f"photo_classifier-{__version__}-py3-none-any.whl",
        f"photo_classifier-{__version__}.tar.gz",
        f"photo_classifier_client-{__version__}-py3-none-any.whl",
        f"photo_classifier_client-{__version__}.tar.gz",
        f"photo-classifier-{__version__}.cdx.json",
        f"photo-classifier-{__version__}-arm64.cdx.json",
        "SHA256SUMS",
    }
    checked = subprocess.check_output(["sha256sum", "--check", "SHA256SUMS"], cwd=released)
    assert checked.count(b": OK") == len(names) - 1
    for ending, requirements in bills.REQUIREMENTS.items():
        bill = json.loads(
            (released / f"photo-classifier-{__version__}{ending}.cdx.json").read_text()
        )
        assert bill["metadata"]["component"]["version"] == __version__
        locked = re.findall(
            r"^([\w.-]+)==", (ROOT / "requirements" / requirements).read_text(), re.MULTILINE
        )
        assert {one["name"] for one in bill["components"]} == set(locked)
        assert ("paddlepaddle" in locked) == (ending == "")


def docker(folder: Path, monkeypatch: pytest.MonkeyPatch, platforms: str) -> Path:
    """Put a docker on the path that builds for `platforms`, and return the list of its calls."""
    program = folder / "docker"
    program.write_text(DOCKER.format(folder=folder, platforms=platforms))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder / "calls"


def test_both_images_are_built_where_docker_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = docker(tmp_path, monkeypatch, "linux/amd64, linux/arm64")
    assert images.build(ROOT, tmp_path, Commit("0" * 40, 0, __version__)) == []
    builds = [line for line in calls.read_text().splitlines() if " --tag " in line]
    assert [line.partition(" --tag ")[0] for line in builds] == [
        "build", "buildx build --load --platform linux/arm64",
    ]  # fmt: skip
    for line in builds:
        assert f"--build-arg REVISION={'0' * 40}" in line
        assert "--build-arg CREATED=1970-01-01T00:00:00Z" in line
    assert "--build-arg ENGINE=openvino --build-arg MODEL= " in builds[1]
    saved = {path.name for path in tmp_path.glob("*.tar")}
    assert saved == {f"photo-classifier-{__version__}-{one}.tar" for one in ("amd64", "arm64")}


def test_what_docker_cannot_build_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker(tmp_path, monkeypatch, "linux/amd64")
    (line,) = images.build(ROOT, tmp_path, Commit("0" * 40, 0, __version__))
    assert line.startswith(f"photo-classifier:{__version__}-arm64, because")
    monkeypatch.setattr(images, "_told", lambda *_: "")
    assert len(images.build(ROOT, tmp_path, Commit("0" * 40, 0, __version__))) == 2
