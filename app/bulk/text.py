"""Tables that grow line by line: JSON lines and CSV.

A kill can leave the last line unfinished, and nothing else. A vector is written as the base64 of
its float32 numbers, little-endian.
"""

import base64
import csv
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from app.bulk.records import EMBEDDING, Record
from app.errors import StartupError

_BEGINNING = '{"path": '


class Form(Protocol):
    """How a record is written as one line."""

    header: bytes

    def line(self, record: Record) -> bytes:
        """Return the line of a record."""

    def name(self, line: bytes) -> str:
        """Return the name of the photo in a line.

        Raises:
            ValueError: the line has another form.
        """


class JsonLines:
    """JSON lines: an object on each line."""

    header = b""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns

    def line(self, record: Record) -> bytes:
        """Return the line of a record."""
        row = {column: record[column] for column in self._columns}
        if EMBEDDING in row:
            row[EMBEDDING] = packed(row[EMBEDDING])
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"

    def name(self, line: bytes) -> str:
        """Return the name of the photo in a line."""
        text = line.decode()
        if not text.startswith(_BEGINNING) or not text.endswith("}\n"):
            raise ValueError(text)
        # The rest may hold a long vector.
        name, _ = json.JSONDecoder().raw_decode(text, len(_BEGINNING))
        return str(name)


class Csv:
    """CSV: a header, then a line for each record. Lists of classes are JSON."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self.header = _csv_line(columns)

    def line(self, record: Record) -> bytes:
        """Return the line of a record."""
        return _csv_line([self._cell(column, record[column]) for column in self._columns])

    def name(self, line: bytes) -> str:
        """Return the name of the photo in a line."""
        (cells,) = csv.reader([line.decode()], strict=True)
        if len(cells) != len(self._columns):
            raise ValueError(line)
        return cells[0]

    def _cell(self, column: str, value: object) -> str:
        if column == EMBEDDING:
            return packed(value) or ""
        if isinstance(value, list):
            return json.dumps(value, ensure_ascii=False)
        # A line feed would make two lines of one.
        return "" if value is None else re.sub(r"[\r\n]+", " ", str(value))


def packed(vector: object) -> str | None:
    """Return the base64 of a vector, or None if there is none."""
    if vector is None:
        return None
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


def unpacked(text: str | None) -> npt.NDArray[np.float32] | None:
    """Return the vector that `packed` has written."""
    return None if text is None else np.frombuffer(base64.b64decode(text), "<f4")


class TextTable:
    """A file to which records are appended."""

    def __init__(self, path: Path, form: Form) -> None:
        self._path = path
        self._form = form

    def names(self) -> Iterator[str]:
        """Yield the name of each photo in the file, and cut off what a kill left unfinished.

        Raises:
            StartupError: a line in the file is none of this table.
        """
        if not self._path.exists():
            return
        whole = 0
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                if number > 1 or line != self._form.header:
                    yield self._name(number, line)
                whole += len(line)
        os.truncate(self._path, whole)

    def _name(self, number: int, line: bytes) -> str:
        try:
            return self._form.name(line)
        except (ValueError, csv.Error) as error:
            raise StartupError(
                f"{self._path}:{number}: this is no line of this table; correct or delete the line"
            ) from error

    def write(self, records: Sequence[Record]) -> None:
        """Append records; they stay, whatever happens afterwards.

        Raises:
            OSError: they cannot be written. The file is then as it was before.
        """
        lines = b"".join(map(self._form.line, records))
        with self._path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                _write_all(file, lines if before else self._form.header + lines)
                os.fsync(file)
            except OSError as error:
                file.truncate(before)
                raise OSError(error.errno, error.strerror, str(self._path)) from error

    def finish(self) -> None:
        """Make a file even if there are no records."""
        self.write(())


def _write_all(file: io.FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _csv_line(cells: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()
