"""What runs in a worker process: load the model, warm it, measure it, then serve batches."""

import itertools
import logging
import os
import signal
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt

from app import malloc
from app.errors import InferenceFailed, StartupError
from app.model.bundle import Bundle
from app.model.engine import Engine, library
from app.settings import Device, EngineName, LogFormat, LogLevel
from app.telemetry.logs import configure_logging
from app.workers import batch_size

log = logging.getLogger(__name__)

# The server's own process goes first: it answers probes and refuses within milliseconds.
_NICE = 5


@dataclass(frozen=True)
class Job:
    """What a worker process is told at its start.

    Attributes:
        max_batch_size: the largest batch it will get; None where it shall find out what is best.
        batch_budget_s: with None, batches that would take longer than this are not tried.
    """

    bundle: Bundle
    engine: EngineName
    device: Device
    threads: int
    max_batch_size: int | None
    batch_budget_s: float
    log_level: LogLevel
    log_format: LogFormat

    @property
    def buckets(self) -> tuple[int, ...]:
        """The batch sizes that are warmed; a batch is padded to the next of them."""
        if self.max_batch_size is None:
            return batch_size.CANDIDATES[self.device]
        largest = self.max_batch_size
        powers = itertools.takewhile(lambda size: size < largest, (2**i for i in range(16)))
        return (*powers, largest)

    def bucket(self, count: int) -> int:
        """Return the warmed size that a batch of `count` is padded to."""
        return min(size for size in self.buckets if size >= count)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(largest batch, H, W, 3), the shape of the memory shared with the worker."""
        width, height = self.bundle.preprocessing.crop
        return self.buckets[-1], height, width, 3


@dataclass(frozen=True)
class Loaded:
    """What a worker says once it can serve: its class count and, where measured, {size: s}."""

    classes: int
    batch_seconds: dict[int, float] = field(default_factory=dict)


def work(connection: Connection, memory: Any, job: Job) -> None:  # noqa: ANN401  (ctypes array)
    """Serve batches until the parent closes the pipe.

    The parent writes photos to `memory` and sends their number; (scores, seconds) or an error goes
    back.
    """
    _ignore_signals()
    configure_logging(job.log_level, job.log_format)  # what it says stands in the server's log
    malloc.keep_freed_memory()
    images = np.frombuffer(memoryview(memory), np.uint8).reshape(job.shape)
    try:
        library(job.engine)
        _ignore_signals()  # again: Paddle has put its own handlers in their place
        engine = Engine(job.bundle, job.device, job.threads, job.engine)
        batch_seconds = _warm(engine, images, job)
    except StartupError as error:
        connection.send(error)
        return
    os.nice(_NICE)
    connection.send(Loaded(engine.classes, batch_seconds))
    while True:
        try:
            count = connection.recv()
        except EOFError:
            return
        connection.send(_answer(engine, images[: job.bucket(count)], count))


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


def _warm(engine: Engine, images: npt.NDArray[np.uint8], job: Job) -> dict[int, float]:
    """Run each batch size, as its first run is slow; where none is set, measure them too."""
    batch_seconds: dict[int, float] = {}
    if job.max_batch_size is None:
        batch_seconds = batch_size.measure(engine, images, job.buckets, job.batch_budget_s)
        malloc.trim()  # what the largest trial batches took will not be needed again
    largest = job.max_batch_size or batch_size.best_batch_size(batch_seconds)
    for size in job.buckets:
        if size <= largest:  # also takes the memory again that serving needs
            engine.infer(images[:size])
    return batch_seconds


def _ignore_signals() -> None:
    """Let the parent alone decide when a worker ends, not a signal to the whole group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
