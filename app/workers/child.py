"""The code of a worker process: it loads, warms and measures the model, then serves batches."""

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
from app.workers.messages import Answered, Ready, WorkerConfig
from app.workers.slots import as_array

log = logging.getLogger(__name__)

# Workers run at a lower priority than the server's process, which has to answer probes and refuse
# requests within milliseconds.
_NICE = 5


def work(connection: Connection, memory: Any, config: WorkerConfig) -> None:  # noqa: ANN401  (ctypes)
    """Serve batches until the parent closes the pipe.

    For each batch, the parent sends the indices of the slots in which the photos lie. The worker
    sends back `Answered` or an error.
    """
    _ignore_signals()
    # The worker writes to the server's log, so it uses the same level and format.
    configure_logging(config.log_level, config.log_format)
    host.keep_freed_memory()
    slots = as_array(memory, (config.slots, *config.photo_shape))
    images = np.zeros((config.buckets[-1], *config.photo_shape), np.uint8)
    try:
        library(config.engine)
        # Paddle has just installed its own signal handlers.
        _ignore_signals()
        engine = Engine(config.bundle, config.device, config.threads, config.engine)
        batch_seconds = _warm(engine, images, config)
    except StartupError as error:
        connection.send(error)
        return
    clock = batch_size.clock(config.device, config.threads)
    os.nice(_NICE)
    connection.send(Ready(engine.classes, batch_seconds))
    while True:
        try:
            indices: list[int] = connection.recv()
        except EOFError:
            return
        count = len(indices)
        np.take(slots, indices, axis=0, out=images[:count])
        connection.send(_answer(engine, images[: config.bucket(count)], count, clock))


def _answer(
    engine: Engine, images: npt.NDArray[np.uint8], count: int, clock: batch_size.Clock
) -> Answered | InferenceFailed:
    # Rows beyond `count` still hold older photos, so their scores are cut off.
    started, before = time.perf_counter(), clock()
    try:
        scores = engine.infer(images)[:count]
        return Answered(scores, time.perf_counter() - started, clock() - before)
    except Exception:
        log.exception("a batch failed")
        return InferenceFailed()


def _warm(engine: Engine, images: npt.NDArray[np.uint8], config: WorkerConfig) -> dict[int, float]:
    """Run each batch size that may be tried or served once, because its first run is slow.

    Returns:
        {size: seconds}; empty if the worker need not measure.
    """
    largest = config.max_batch_size or config.measured
    if largest is None:
        clock = batch_size.clock(config.device, config.threads)
        return batch_size.measure(engine, images, config.buckets, config.batch_budget_s, clock)
    for size in config.buckets:
        if size <= largest:
            engine.infer(images[:size])
    return {}


def _ignore_signals() -> None:
    """Ignore signals to the process group, because only the parent decides when a worker ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
