"""The table at an output's path, with the record of what its answers come from.

That record, the manifest, is why the same command goes on where it was stopped, and why another
bundle is refused. A run locks it, so that no second one writes to the same table.
"""

import fcntl
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from app.bulk.records import Record, Wishes
from app.bulk.text import Csv, JsonLines, TextTable
from app.errors import StartupError
from app.model.bundle import INT8_FILES, Bundle, section
from app.settings import FLOAT32, EngineName

_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")


class Table(Protocol):
    """The records that are kept."""

    def names(self) -> Iterator[str]:
        """Yield the name of each photo in the table. This comes first and repairs the table."""

    def write(self, records: Sequence[Record]) -> None:
        """Add records; they stay, whatever happens afterwards.

        Raises:
            OSError: they cannot be written. The table is then as it was before.
        """

    def finish(self) -> None:
        """Give the table its last form."""


@contextmanager
def opened(output: Path, wishes: Wishes, bundle: Bundle, engine: EngineName) -> Iterator[Table]:
    """Yield the table at `output`, a new one or one that the same command has begun.

    Raises:
        StartupError: the name has an unknown ending, something else lies there, the table has
            answers of another bundle, or another run writes to it.
        OSError: nothing can be written there.
    """
    table, manifest = _table(output, wishes)
    if manifest.parent == output:
        output.mkdir(exist_ok=True)
    if output.exists() and not manifest.exists() and not _is_empty_folder(output):
        raise StartupError(
            f"{output} exists already, and this command has not begun it: name another --output"
        )
    # Unbuffered, so that one call writes all of it: a kill leaves all or nothing.
    with manifest.open("a+b", buffering=0) as file:
        _lock(file, output)
        _adopt(file, _origin(bundle, engine, wishes), output)
        yield table


def _table(output: Path, wishes: Wishes) -> tuple[Table, Path]:
    """Return the table, and the path of its manifest."""
    suffix, columns = output.suffix.lower(), wishes.columns
    beside = output.with_name(f"{output.name}.manifest.json")
    if output.is_dir() or not suffix:
        from app.bulk.parquet import PartsTable  # noqa: PLC0415  (only Parquet needs pyarrow)

        return PartsTable(output, columns), output / "_manifest.json"
    if suffix in _PARQUET:
        from app.bulk.parquet import FileTable  # noqa: PLC0415

        return FileTable(output, columns), beside
    if suffix in _JSON_LINES:
        return TextTable(output, JsonLines(columns)), beside
    if suffix == ".csv":
        return TextTable(output, Csv(columns)), beside
    raise StartupError(
        f"{output}: the table's form follows from its name, which ends in .jsonl, .csv or "
        ".parquet; a name without an ending is a folder of Parquet files"
    )


def _is_empty_folder(output: Path) -> bool:
    return output.is_dir() and not any(output.iterdir())


def _lock(manifest: io.FileIO, output: Path) -> None:
    """Keep other runs away until the file is closed, which a kill does, too."""
    try:
        fcntl.flock(manifest, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StartupError(f"another run writes to {output}; wait for its end") from None


def _origin(bundle: Bundle, engine: EngineName, wishes: Wishes) -> Mapping[str, object]:
    """Return what the answers follow from, beside the photos."""
    int8 = INT8_FILES.get(engine)
    reading = f"{bundle.preprocessing} {bundle.post_process}".encode()
    return {
        "model": bundle.name,
        "version": bundle.version,
        "reading": hashlib.sha256(reading).hexdigest()[:12],
        # Engines that compute in float32 give the same scores but for rounding.
        "engine": "float32" if engine in FLOAT32 else engine,
        "int8": section(bundle.provenance, "sha256").get(int8) if int8 else None,
        "limit": bundle.limit.distance if bundle.limit else None,
        "top_k": wishes.top_k,
        "embeddings": wishes.embeddings,
    }


def _adopt(manifest: io.FileIO, origin: Mapping[str, object], output: Path) -> None:
    """Write the manifest of a new table, or compare that of one that was begun."""
    manifest.seek(0)
    text = manifest.readall()
    if not text:
        manifest.write(json.dumps(origin, indent=2).encode() + b"\n")
        os.fsync(manifest)
        return
    try:
        before = json.loads(text)
    except ValueError as error:
        raise StartupError(f"{manifest.name} is no manifest of this command") from error
    for key, value in origin.items():
        if before.get(key) != value:
            raise StartupError(
                f"{output} has answers with {key} {before.get(key)}, and this command has "
                f"{key} {value}: name another --output, or delete {output} and {manifest.name}"
            )
