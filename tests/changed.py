"""`make check`: run the quick tests of each room that differs from a commit, HEAD unless named.

    .venv/bin/python tests/changed.py [COMMIT]

A test that is marked `slow` is left out; `make test` runs all of them.
"""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ALWAYS = ("tests/test_architecture.py", "tests/test_docs.py")
# A file of the ground has no room of its own. These tests notice a change of it first.
GROUND = {
    "app/errors.py": "tests/api",
    "app/host.py": "tests/test_host.py",
    "app/main.py": "tests/test_start.py",
    "app/pace.py": "tests/test_pace.py",
    "app/settings.py": "tests/test_settings.py",
}


def changed_files(commit: str) -> list[str]:
    """Return the files that differ from the commit, with those that git does not know yet."""
    git = ("git", "-c", "core.quotepath=off")
    differ = subprocess.check_output((*git, "diff", "--name-only", commit), text=True)
    new = subprocess.check_output((*git, "ls-files", "--others", "--exclude-standard"), text=True)
    return [*differ.splitlines(), *new.splitlines()]


def tests_of(files: Iterable[str]) -> list[str]:
    """Return the folders and files with the unit tests of the changed files."""
    found = set(ALWAYS)
    for file in files:
        path = Path(file)
        if file in GROUND:
            found.add(GROUND[file])
        elif path.parts[0] == "tests" and path.name.startswith("test_") and _of_a_room(path):
            found.add(file)
        elif path.parts[0] == "clients" or path.parts[:2] == ("tests", "client"):
            found.add("tests/client")
        elif path.parts[0] in ("app", "tests") and _of_a_room(path):
            found.add(str(Path("tests", *path.parts[1:-1])))
    present = {name for name in found if Path(name).exists()}
    return sorted(name for name in present if not present & set(map(str, Path(name).parents)))


def _of_a_room(path: Path) -> bool:
    """Tell whether a file below app/ or tests/ lies in a room, or in the tests of one."""
    return len(path.parts) > 2 and Path("app", path.parts[1]).is_dir()


def main() -> int:
    """Run them, and return pytest's exit code."""
    tests = tests_of(changed_files(sys.argv[1] if len(sys.argv) > 1 else "HEAD"))
    print("tests of what has changed:", *tests, flush=True)
    command = [sys.executable, "-m", "pytest", "--quiet", "-m", "not slow", *tests]
    # More than a few rooms are quicker side by side.
    if len(tests) > 4:
        command += ["--numprocesses", "logical", "--dist", "worksteal"]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
