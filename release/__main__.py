"""Builds a release into dist/ (`make release`), or tries it twice (`make release-check`)."""

import argparse
import shutil
import sys
from pathlib import Path

from release import bills, checksums, images, packages, twice
from release.commit import Commit

DIST = Path("dist")


def main() -> None:
    """Build dist/, or compare two builds of what must have the same bytes each time."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument("--check", action="store_true", help="build twice and compare")
    parser.add_argument("--no-images", action="store_true", help="leave out the images")
    options = parser.parse_args()
    commit = Commit.checked_out()
    if commit.has_changes():
        print("the working tree has changes that are not committed; the release is without them")
    if options.check:
        sys.exit(twice.report(twice.build(commit), twice.build_elsewhere(commit)))
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    with commit.exported() as source:
        packages.build(source, DIST, commit)
        bills.write(source, DIST, commit)
        left_out = (
            ["images: --no-images"] if options.no_images else images.build(source, DIST, commit)
        )
    checksums.write(DIST)
    print(*sorted(str(path) for path in DIST.iterdir()), sep="\n")
    for line in left_out:
        print(f"left out: {line}")


if __name__ == "__main__":
    main()
