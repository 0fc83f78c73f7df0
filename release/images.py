"""The images, as far as the Docker engine of this machine can build them."""

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from release.commit import Commit


@dataclass(frozen=True)
class Image:
    """An image: the processors it is for, the ending of its tag, and its build arguments."""

    architecture: str
    ending: str = ""
    arguments: str = ""


IMAGES = (
    Image("amd64"),
    # Paddle has no wheels for Linux on Arm, and only Paddle can build a bundle.
    Image("arm64", "-arm64", "--build-arg ENGINE=openvino --build-arg MODEL="),
)


def build(source: Path, target: Path, commit: Commit) -> list[str]:
    """Build the images, save each to `target`, and return what was left out, with the reason."""
    left_out = []
    for image in IMAGES:
        tag = f"photo-classifier:{commit.version}{image.ending}"
        command = builder(image.architecture)
        if command is None:
            left_out.append(f"{tag}, because no Docker engine here builds for {image.architecture}")
            continue
        variables = {
            "IMAGE": tag,
            "BUILD": image.arguments,
            "BUILDER": shlex.join(command),
            "REVISION": commit.revision,
            "CREATED": commit.created,
        }
        settings = [f"{name}={value}" for name, value in variables.items()]
        subprocess.run(["make", "--directory", str(source), "image", *settings], check=True)
        file = target / f"photo-classifier-{commit.version}-{image.architecture}.tar"
        subprocess.run(["docker", "save", "--output", str(file), tag], check=True)
        file.chmod(0o644)
    return left_out


def builder(architecture: str) -> list[str] | None:
    """Return the command that builds for an architecture, or None if there is none."""
    if _told("docker", "version", "--format", "{{.Server.Arch}}") == architecture:
        return ["docker", "build"]
    platform = f"linux/{architecture}"
    if platform in _told("docker", "buildx", "inspect", "--bootstrap"):
        return ["docker", "buildx", "build", "--load", "--platform", platform]
    return None


def _told(*command: str) -> str:
    """Return what a command prints; nothing if it fails or does not exist."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
