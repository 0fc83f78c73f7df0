"""What runs in a worker process: load the model, warm it, measure it, then serve batches."""

import logging
import os
import signal
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt

from app import host
from app.errors import InferenceFailed, StartupError
from app.model.engine import Engine, library
from app.telemetry.logs import configure_logging
from app.workers import batch_size
from app.workers.messages import Ready, WorkerConfig

log = logging.getLogger(__name__)

# The server's own process goes first: it answers probes and refuses within milliseconds.
_NICE = 5


def work(connection: Connection, memory: Any, config: WorkerConfig) -> None:  # noqa: ANN401  (ctypes array)
    """Serve batches until the parent closes the pipe.

    The parent writes photos to `memory` and sends their number; (scores, seconds) or an error goes
    back.
    """
    _ignore_signals()
    configure_logging(
        config.log_level, config.log_format
    )  # what it says stands in the server's log
    host.keep_freed_memory()
    images = np.frombuffer(memoryview(memory), np.uint8).reshape(config.shape)
    try:
        library(config.engine)
        _ignore_signals()  # again: Paddle has put its own handlers in their place
        engine = Engine(config.bundle, config.device, config.threads, config.engine)
        batch_seconds = _warm(engine, images, config)
    except StartupError as error:
        connection.send(error)
        return
    os.nice(_NICE)
    connection.send(Ready(engine.classes, batch_seconds))
    while True:
        try:
            count = connection.recv()
        except EOFError:
            return
        connection.send(_answer(engine, images[: config.bucket(count)], count))


def _answer(
    engine: Engine, images: npt.NDArray[np.uint8], count: int
) -> tuple[npt.NDArray[np.float32], float] | InferenceFailed:
    # Rows beyond `count` hold older photos; what becomes of them is cut off.
    started = time.perf_counter()
    try:
        return engine.infer(images)[:count], time.perf_counter() - started
    except Exception:
        log.exception("a batch failed")
        return InferenceFailed()


def _warm(engine: Engine, images: npt.NDArray[np.uint8], config: WorkerConfig) -> dict[int, float]:
    """Run each batch size, as its first run is slow; where none is set, measure them too."""
    batch_seconds: dict[int, float] = {}
    if config.max_batch_size is None:
        batch_seconds = batch_size.measure(engine, images, config.buckets, config.batch_budget_s)
        host.trim()  # what the largest trial batches took will not be needed again
    largest = config.max_batch_size or batch_size.best_batch_size(batch_seconds)
    for size in config.buckets:
        if size <= largest:  # also takes the memory again that serving needs
            engine.infer(images[:size])
    return batch_seconds


def _ignore_signals() -> None:
    """Let the parent alone decide when a worker ends, not a signal to the whole group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
