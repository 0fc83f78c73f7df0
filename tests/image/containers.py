"""Docker and Docker Compose, called as a person calls them in a terminal."""

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx
import skimage
import yaml
from running import until

from app import __version__

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
IMAGE = os.environ.get("IMAGE", f"photo-classifier:{__version__}")
CAT = (Path(skimage.__file__).parent / "data" / "chelsea.png").read_bytes()
# The limits of Kubernetes's pod security standard "restricted", and the promised memory and CPU.
LIMITS = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),  # noqa: S108  (/tmp lies in the container)
    *("--security-opt", "no-new-privileges", "--memory", "1500m", "--cpus", "2"),
)
# The settings that docker-compose.yml makes for this memory and CPU.
_SERVICE = yaml.safe_load(COMPOSE_FILE.read_text())["services"]["classifier"]
SETTINGS = [f"--env={name}={value}" for name, value in _SERVICE["environment"].items() if value]


def run(*command: str | Path, **environment: str) -> str:
    """Run a command and return what it printed. An error fails the test."""
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def inspect(name: str, template: str) -> Any:  # noqa: ANN401  (the result is any JSON value)
    """Return a property of a container or an image, which Docker's template selects."""
    return json.loads(run("docker", "inspect", "--format", f"{{{{json {template}}}}}", name))


def compose() -> list[str]:
    """Return the command of Docker Compose on this machine: the plug-in or the older program."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


def free_port() -> str:
    """Return a TCP port on which no process listens at this moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def best_label(url: str) -> str:
    """Send the photo of a cat and return the best label."""
    answer = httpx.post(f"{url}/predict", files={"file": CAT}, timeout=30).raise_for_status()
    return str(answer.json()["predictions"][0]["label"])


class Container:
    """A container of the image, which runs in the background with a published port."""

    def __init__(self, image: str = IMAGE, *further: str) -> None:
        options = (*LIMITS, *SETTINGS, "--publish", "127.0.0.1::8000", *further)
        self.id = run("docker", "run", "--detach", *options, image)
        self.url = f"http://{run('docker', 'port', self.id, '8000')}"

    @property
    def health(self) -> str:
        """The health that Docker reports: starting, healthy or unhealthy."""
        return str(inspect(self.id, ".State.Health.Status"))

    def wait_healthy(self) -> None:
        """Wait until Docker reports it healthy; fail at once if the container has ended."""
        until(lambda: self.health == "healthy" or not inspect(self.id, ".State.Running"))
        assert self.health == "healthy", run("docker", "logs", self.id)

    def execute(self, *command: str) -> str:
        """Run a command in the container and return what it printed."""
        return run("docker", "exec", self.id, *command)

    def stop(self) -> int:
        """Send SIGTERM and wait, as `docker stop` and Kubernetes do; return the exit code."""
        run("docker", "stop", "--time", "30", self.id)
        return int(inspect(self.id, ".State.ExitCode"))

    def remove(self) -> None:
        """Remove the container and its volumes."""
        run("docker", "rm", "--force", "--volumes", self.id)
