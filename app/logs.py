"""Logs: a JSON object a line for machines, plain text on a terminal."""

import logging
import sys

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from app.settings import LogFormat, LogLevel


def configure_logging(level: LogLevel, form: LogFormat) -> None:
    """Send all that this process says, uvicorn's own too, to standard output in one format."""
    handler = logging.StreamHandler(sys.stdout)
    text = form == "text" or (form == "auto" and sys.stdout.isatty())
    handler.setFormatter(_TextFormatter() if text else _json_formatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("PIL", "python_multipart"):  # what is odd in an upload gets a 4xx
        logging.getLogger(name).setLevel(logging.CRITICAL)


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
