"""All servers of the comparison are installed with the same versions of the same libraries."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PEERS = sorted((ROOT / "requirements/peers").glob("*.txt"))
SAME = ("numpy", "onnxruntime", "openvino", "paddlepaddle", "pillow")


def versions(file: Path) -> set[str]:
    """Return the versions that a requirements file pins of the packages in SAME, on Python 3.11."""
    lines = [line for line in file.read_text().splitlines() if ">= '3.12'" not in line]
    found = (re.match(rf"({'|'.join(SAME)})==[^ ]+", line) for line in lines)
    return {match.group() for match in found if match}


def test_every_peer_has_our_versions() -> None:
    ours = versions(ROOT / "requirements/dev.txt")
    assert len(ours) == len(SAME)
    assert {file.stem: versions(file) for file in PEERS} == {file.stem: ours for file in PEERS}


def test_make_sets_up_every_peer() -> None:
    line = re.search(r"^PEERS = (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert line
    assert line[1].split() == [file.stem for file in PEERS]
