"""Install a locked set of requirements into this environment, with one line that shows how far.

    .venv/bin/python requirements/install.py requirements/serve.txt

pip alone prints either nothing for minutes or some hundred lines. On a terminal this prints one
line that changes; in a log it prints a line at the start and one at the end. Only the standard
library is used, because nothing else is installed yet.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
NAMED = re.compile(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)")
DOWNLOAD = re.compile(r" *Downloading (\S+?)-\d\S* \((.+)\)")
BYTES = re.compile(r"Progress (\d+) of (\d+)")


def install(requirements: Path) -> int:
    """Install the file's packages, whose hashes pip checks; return pip's exit code."""
    count = len(re.findall(r"^[\w.-]+==", requirements.read_text(), re.MULTILINE))
    what = f"Installing the {count} packages of {requirements}"
    if not sys.stdout.isatty():
        print(what, flush=True)
    started = time.monotonic()
    command = [*PIP, "install", "--require-hashes", "--requirement", str(requirements)]
    if _pip_version() >= (24, 1):
        command += ["--progress-bar", "raw"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as pip:
        assert pip.stdout
        for step in _steps(pip.stdout, count):
            if sys.stdout.isatty():
                print(f"\r\033[K{what}: {step}"[:120], end="", flush=True)
    end = "\r\033[K" if sys.stdout.isatty() else ""
    if pip.returncode == 0:
        print(f"{end}Installed {requirements} in {time.monotonic() - started:.0f} s")
    return pip.returncode


def _steps(lines: Iterable[str], count: int) -> Iterator[str]:
    """Yield what pip does now: the package's number, its name, and how much of it has arrived."""
    number, name, size = 0, "", ""
    for line in lines:
        if match := NAMED.match(line):
            number, name, size = number + 1, match[1], ""
        elif match := DOWNLOAD.match(line):
            name, size = match[1], match[2]
        elif match := BYTES.match(line):
            size = f"{int(match[1]) / 1e6:.1f} of {int(match[2]) / 1e6:.1f} MB"
        elif line.startswith("Installing collected packages"):
            number, name, size = count, "copying the files", ""
        else:
            continue
        yield f"{min(number, count)} of {count}, {name} {size}"


def _pip_version() -> tuple[int, ...]:
    text = subprocess.check_output([*PIP, "--version"], text=True)
    return tuple(int(part) for part in re.findall(r"\d+", text.split()[1])[:2])


if __name__ == "__main__":
    sys.exit(install(Path(sys.argv[1])))
