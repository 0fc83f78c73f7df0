"""Folders of tiny photos, and questions about the tables that are made of them."""

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
from drawn import COLOURS, draw

BROKEN = {
    "cut.png": "broken_image",
    "empty.jpg": "empty_file",
    "text.jpg": "unsupported_image",
    "gone.jpg": "unreadable_file",
}


def draw_photos(folder: Path, count: int) -> set[str]:
    """Write so many photos, most of them links to a few, and return their paths."""
    colours = list(COLOURS.values())
    originals = folder.with_name(f"{folder.name}-originals")
    for i in range(6):
        draw(originals / f"{i}.png", colours[i % len(colours)], i, (40 + i, 40))
    for i in range(count):
        photo = folder / str(i % 3) / f"{i:05}.png"
        photo.parent.mkdir(parents=True, exist_ok=True)
        os.link(originals / f"{i % 6}.png", photo)
    return {str(folder / str(i % 3) / f"{i:05}.png") for i in range(count)}


def add_broken(folder: Path) -> set[str]:
    """Add a photo that is cut, an empty one, a text, and a link that leads nowhere."""
    draw(folder / "whole.png", (1, 2, 3), 0)
    whole = (folder / "whole.png").read_bytes()
    (folder / "whole.png").unlink()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("no photo")
    (folder / "gone.jpg").symlink_to("nowhere")
    return {str(folder / name) for name in BROKEN}


def rows(output: Path) -> list[dict[str, object]]:
    """Return the rows of a table in any form; those of CSV are text."""
    if output.suffix == ".csv":
        with output.open(newline="") as file:
            return list(csv.DictReader(file))
    if output.suffix == ".jsonl":
        # `str.splitlines` would also divide a line at U+2028.
        return [json.loads(line) for line in output.read_bytes().splitlines()]
    # `read_table` would make a column of a folder named `key=value`.
    files = sorted(output.glob("part-*.parquet")) if output.is_dir() else [output]
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def names(output: Path) -> list[str]:
    return [str(row["path"]) for row in rows(output)]


def assert_each_once(output: Path, expected: Iterable[str]) -> None:
    found = names(output)
    assert len(found) == len(set(found))
    assert set(found) == set(expected)
