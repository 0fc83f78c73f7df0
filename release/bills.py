"""The bills of materials (SBOM, CycloneDX): the packages of each image, with their hashes."""

import os
import subprocess
import sys
from pathlib import Path

from release.commit import Commit

# What is installed in the images, by the ending of the bill's name.
REQUIREMENTS = {"": "heif.txt", "-arm64": "heif-openvino.txt"}


def write(source: Path, target: Path, commit: Commit) -> None:
    """Write a bill for each image to `target`, from the locked requirements in `source`."""
    for ending, requirements in REQUIREMENTS.items():
        file = target / f"photo-classifier-{commit.version}{ending}.cdx.json"
        # It warns that requirements do not say which package needs which.
        command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements"]
        command += ["--output-reproducible", "--output-format", "JSON", "--output-file", str(file)]
        command += ["--pyproject", str(source / "pyproject.toml")]
        command += [str(source / "requirements" / requirements)]
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(commit.epoch)}
        subprocess.run(command, check=True, env=environment)
