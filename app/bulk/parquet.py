"""Tables in Parquet: a folder of part files, or one file that is made of them.

Records come first into a journal of JSON lines, because a part file is written in one go. A full
journal becomes the part with its number, and a kill in between leaves both: then the part counts.
"""

import itertools
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from app.bulk.records import EMBEDDING, Record
from app.bulk.text import JsonLines, TextTable, unpacked
from app.errors import StartupError

try:
    import pyarrow as pa
    from pyarrow import parquet
except ImportError as error:
    raise StartupError(
        "Parquet needs pyarrow: install requirements/bulk.txt, which `make .venv/bulk` does"
    ) from error

_PART_RECORDS = 20_000
_READ_RECORDS = 5_000
_TYPES: dict[str, pa.DataType] = {
    "path": pa.string(),
    "label": pa.string(),
    "score": pa.float32(),
    "class_ids": pa.list_(pa.int32()),
    "labels": pa.list_(pa.string()),
    "scores": pa.list_(pa.float32()),
    "unfamiliar": pa.bool_(),
    "unfamiliarity": pa.float32(),
    "error_code": pa.string(),
    "error": pa.string(),
    EMBEDDING: pa.list_(pa.float32()),
}


class PartsTable:
    """A folder of part files. Readers of Parquet overlook files whose names begin with `_`."""

    def __init__(
        self, folder: Path, columns: Sequence[str], part_records: int = _PART_RECORDS
    ) -> None:
        self._folder = folder
        self._form = JsonLines(columns)
        self._schema = schema_of(columns)
        self._part_records = part_records
        self._number = 0
        self._written = 0

    def names(self) -> Iterator[str]:
        """Yield the name of each photo in the folder; a journal that has become a part goes."""
        self._folder.mkdir(exist_ok=True)
        parts = self.parts()
        for part in parts:
            yield from _names_in(part)
            self._number = int(part.stem.removeprefix("part-")) + 1
        for left in self._folder.glob("_part-*"):
            if left != self._journal_file:
                left.unlink()
        for name in self._journal.names():
            self._written += 1
            yield name

    def parts(self) -> Sequence[Path]:
        """Return the part files in their order."""
        return sorted(self._folder.glob("part-*.parquet"))

    def write(self, records: Sequence[Record]) -> None:
        """Add records; they stay, whatever happens afterwards.

        Raises:
            OSError: they cannot be written. The table is then as it was before.
        """
        self._journal.write(records)
        self._written += len(records)
        if self._written >= self._part_records:
            self._seal()

    def finish(self) -> None:
        """Make the last part of the journal. A folder without records gets an empty part."""
        if self._written or not self.parts():
            self._seal()

    def _seal(self) -> None:
        journal = self._journal_file
        part = self._folder / f"part-{self._number:06}.parquet"
        write_file(part, self._schema, _batches(journal, self._schema))
        journal.unlink(missing_ok=True)
        self._number += 1
        self._written = 0

    @property
    def _journal_file(self) -> Path:
        return self._folder / f"_part-{self._number:06}.jsonl"

    @property
    def _journal(self) -> TextTable:
        return TextTable(self._journal_file, self._form)


class FileTable:
    """One file of Parquet. Its records lie in a folder of parts until the end.

    At the end, all are written to a new file in that folder. Then the folder gets another name,
    and from this moment on the new file counts, which is moved to its place.
    """

    def __init__(
        self, path: Path, columns: Sequence[str], part_records: int = _PART_RECORDS
    ) -> None:
        self._path = path
        self._folder = path.with_name(f"{path.name}.parts")
        self._done = path.with_name(f"{path.name}.done")
        self._parts = PartsTable(self._folder, columns, part_records)
        self._schema = schema_of(columns)

    def names(self) -> Iterator[str]:
        """Yield the name of each photo in the file and in its parts."""
        self._move_in()
        if self._path.exists():
            yield from _names_in(self._path)
        yield from self._parts.names()

    def write(self, records: Sequence[Record]) -> None:
        """Add records, as `PartsTable.write` does."""
        self._parts.write(records)

    def finish(self) -> None:
        """Put the file in its place.

        Raises:
            OSError: there is no room for it. The parts stay.
        """
        self._parts.finish()
        before = [self._path] if self._path.exists() else []
        batches = itertools.chain.from_iterable(
            parquet.ParquetFile(file).iter_batches(_READ_RECORDS)
            for file in (*before, *self._parts.parts())
        )
        write_file(self._folder / self._path.name, self._schema, batches)
        self._folder.rename(self._done)
        self._move_in()

    def _move_in(self) -> None:
        with suppress(FileNotFoundError):
            (self._done / self._path.name).replace(self._path)
        with suppress(FileNotFoundError):
            shutil.rmtree(self._done)


def schema_of(columns: Sequence[str]) -> pa.Schema:
    """Return the types of these columns."""
    return pa.schema([(column, _TYPES[column]) for column in columns])


def write_file(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    """Write a Parquet file that appears under its name only when it is whole.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = path.with_name(f"_{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
                for batch in batches:
                    writer.write_batch(batch)
            file.flush()
            os.fsync(file)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _batches(journal: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    if not journal.exists():
        return
    with journal.open("rb") as lines:
        while rows := [json.loads(line) for line in itertools.islice(lines, _READ_RECORDS)]:
            for row in rows:
                if row.get(EMBEDDING):
                    row[EMBEDDING] = unpacked(row[EMBEDDING])
            yield pa.RecordBatch.from_pylist(rows, schema)


def _names_in(file: Path) -> Iterator[str]:
    try:
        for batch in parquet.ParquetFile(file).iter_batches(_READ_RECORDS, columns=["path"]):
            yield from batch.column(0).to_pylist()
    except (pa.ArrowException, KeyError) as error:
        raise StartupError(f"{file} is no table of this command: {error}") from error
