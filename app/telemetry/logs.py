"""Logs: a JSON object a line for machines, plain text on a terminal."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from logging.handlers import QueueHandler
from queue import Full, Queue
from threading import Thread

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from app.settings import LogFormat, LogLevel

Records = Queue[logging.LogRecord | None]  # None ends them

_MAX_WAITING = 10_000
_FLUSH_S = 5.0


def configure_logging(level: LogLevel, form: LogFormat) -> None:
    """Send all that this process says, uvicorn's own too, to standard output in one format."""
    handler = logging.StreamHandler(sys.stdout)
    text = form == "text" or (form == "auto" and sys.stdout.isatty())
    handler.setFormatter(_TextFormatter() if text else _json_formatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("PIL", "python_multipart"):  # what is odd in an upload gets a 4xx
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def written_aside() -> Iterator[None]:
    """Let a thread write the log, so that one who is slow to take it stops nothing else.

    Lines that find 10000 waiting are lost.
    """
    root, records = logging.getLogger(), Records(_MAX_WAITING)
    handlers, root.handlers = root.handlers, [_Aside(records)]
    writer = Thread(target=_write, args=(records, handlers), daemon=True)
    writer.start()
    try:
        yield
    finally:
        root.handlers = handlers
        with suppress(Full):
            records.put(None, timeout=_FLUSH_S)
        writer.join(_FLUSH_S)


def _write(records: Records, handlers: Sequence[logging.Handler]) -> None:
    while record := records.get():
        for handler in handlers:
            handler.handle(record)


class _Aside(QueueHandler):
    """Gives records to the thread that writes them; their text is made at once, as of now."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.msg, record.args = record.getMessage(), None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(Full):
            self.queue.put_nowait(record)


def _json_formatter() -> logging.Formatter:
    return JsonFormatter(
        ["levelname", "name", "message"],
        timestamp="time",
        rename_fields={"levelname": "level", "name": "logger"},
        json_ensure_ascii=False,
        reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's text again, with colours
    )


class _TextFormatter(logging.Formatter):
    """`12:00:01 INFO  message`, and for a request how it went."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if "duration_ms" in record.__dict__:
            line += " {outcome} {duration_ms} ms {request_id}".format(**record.__dict__)
        return line
