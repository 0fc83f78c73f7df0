"""The source distributions and wheels of the service and of its Python client."""

import os
import subprocess
import sys
from pathlib import Path

from release.commit import Commit

PROJECTS = (".", "clients/python")


def build(source: Path, target: Path, commit: Commit) -> None:
    """Build the packages of the folder `source` into `target`.

    The build tool is locked, and takes the commit's time for each file, so the same commit gives
    the same bytes.
    """
    constraints = source / "requirements/build.txt"
    uv = [sys.executable, "-m", "uv", "build", "--quiet", "--no-create-gitignore"]
    uv += ["--build-constraints", str(constraints), "--require-hashes"]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(commit.epoch)}
    for project in PROJECTS:
        command = [*uv, "--out-dir", str(target.resolve()), str(source / project)]
        subprocess.run(command, check=True, env=environment)
