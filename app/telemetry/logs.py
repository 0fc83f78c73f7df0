"""Logs: one JSON object on each line for machines, plain text on a terminal."""

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging.handlers import QueueHandler
from queue import SimpleQueue
from threading import Thread

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from app.settings import LogFormat, LogLevel

# None tells the writer to end.
Records = SimpleQueue[logging.LogRecord | None]

_MAX_WAITING = 10_000  # records
_FLUSH_S = 5.0
_PAUSE_S = 0.02


def configure_logging(level: LogLevel, form: LogFormat) -> None:
    """Send all log records of this process, with uvicorn's, to standard output in one format."""
    handler = logging.StreamHandler(sys.stdout)
    text = form == "text" or (form == "auto" and sys.stdout.isatty())
    handler.setFormatter(_TextFormatter() if text else _json_formatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # No format shows these, and finding them took nearly half of a record's time.
    logging._srcfile = None  # noqa: SLF001  (Python's documentation names this way)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # These libraries log what is wrong with an upload, but the client already gets a 4xx for that.
    for name in ("PIL", "python_multipart"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def threaded_logging() -> Iterator[None]:
    """Let a thread write the log inside the block, so that a slow log reader blocks nothing else.

    A record is lost if 10000 records already wait.
    """
    records: Records = SimpleQueue()
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, [_ToThread(records)]
    writer = Thread(target=_write, args=(records, handlers), daemon=True)
    writer.start()
    try:
        yield
    finally:
        root.handlers = handlers
        records.put(None)
        writer.join(_FLUSH_S)


def _write(records: Records, handlers: Sequence[logging.Handler]) -> None:
    while record := records.get():
        for handler in handlers:
            handler.handle(record)
        # Many records at once cost the event loop fewer hand-overs of Python's lock.
        if records.empty():
            time.sleep(_PAUSE_S)


class _ToThread(QueueHandler):
    """Hands records to the writing thread. It makes their text at once, before a value changes."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.msg, record.args = record.getMessage(), None
        return record

    def __init__(self, records: Records) -> None:
        super().__init__(records)
        self._records = records

    def enqueue(self, record: logging.LogRecord) -> None:
        if self._records.qsize() < _MAX_WAITING:
            self._records.put(record)


def _json_formatter() -> logging.Formatter:
    return JsonFormatter(
        ["levelname", "name", "message"],
        timestamp="time",
        rename_fields={"levelname": "level", "name": "logger"},
        json_ensure_ascii=False,
        # uvicorn adds its message a second time, with colours.
        reserved_attrs=[*RESERVED_ATTRS, "color_message"],
    )


class _TextFormatter(logging.Formatter):
    """Formats `12:00:01 INFO    message`; a request adds its outcome, duration and id."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if "duration_ms" in record.__dict__:
            line += " {outcome} {duration_ms} ms {request_id}".format(**record.__dict__)
        return line
