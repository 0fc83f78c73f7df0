"""Two builds of the packages and bills, compared byte by byte.

Images are not compared, because Debian's packages in them change from day to day.
"""

import os
import tempfile
from pathlib import Path

from release import bills, checksums, packages
from release.commit import Commit

Sums = dict[str, str]


def build(commit: Commit) -> Sums:
    """Build the packages and bills, and return the checksum of each file."""
    with commit.exported() as source, tempfile.TemporaryDirectory() as folder:
        packages.build(source, Path(folder), commit)
        bills.write(source, Path(folder), commit)
        return {path.name: checksums.checksum(path) for path in Path(folder).iterdir()}


def build_elsewhere(commit: Commit) -> Sums:
    """Do the same under a strict umask, in another time zone and in another folder."""
    umask, zone = os.umask(0o077), os.environ.get("TZ")
    os.environ["TZ"] = "Pacific/Kiritimati"
    try:
        return build(commit)
    finally:
        os.umask(umask)
        if zone is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = zone


def report(first: Sums, second: Sums) -> int:
    """Print what differs between two builds, and return the exit code."""
    different = [name for name, _ in sorted(first.items() ^ second.items())]
    for name in dict.fromkeys(different):
        print(f"{name} differs: {first.get(name)} and then {second.get(name)}")
    print("the two builds differ" if different else "two builds gave the same bytes")
    return 1 if different else 0
