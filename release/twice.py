"""Two builds of the packages and bills, compared byte by byte.

The second one is made under a strict umask, in another time zone and in another folder. Images are
not compared, because Debian's packages in them change from day to day.
"""

import os
import tempfile
from pathlib import Path

from release import bills, checksums, packages
from release.commit import Commit


def differences(commit: Commit) -> dict[str, tuple[str | None, str | None]]:
    """Return each file's two checksums where they differ; None where a file is missing."""
    first = _sums(commit)
    umask, zone = os.umask(0o077), os.environ.get("TZ")
    os.environ["TZ"] = "Pacific/Kiritimati"
    try:
        second = _sums(commit)
    finally:
        os.umask(umask)
        if zone is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = zone
    pairs = {name: (first.get(name), second.get(name)) for name in sorted(first | second)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _sums(commit: Commit) -> dict[str, str]:
    with commit.exported() as source, tempfile.TemporaryDirectory() as folder:
        packages.build(source, Path(folder), commit)
        bills.write(source, Path(folder), commit)
        return {path.name: checksums.checksum(path) for path in Path(folder).iterdir()}


def report(found: dict[str, tuple[str | None, str | None]]) -> int:
    """Print the differences, and return the exit code."""
    for name, (first, second) in found.items():
        print(f"{name} differs: {first} and then {second}")
    print("the two builds differ" if found else "two builds gave the same bytes")
    return 1 if found else 0
