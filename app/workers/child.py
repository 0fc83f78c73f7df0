"""The code of a worker process: it warms and measures the model, then serves batches."""

import logging
import os
import signal
import time
from multiprocessing.connection import Connection
from multiprocessing.heap import BufferWrapper

import numpy as np
import numpy.typing as npt

from app import host
from app.errors import InferenceFailed, StartupError
from app.model.engine import Engine, load_network
from app.model.network import Network
from app.workers import batch_size
from app.workers.inspector import Inspector
from app.workers.messages import Answered, Inspect, Ready, WorkerConfig
from app.workers.slots import as_array

log = logging.getLogger(__name__)

# Workers run at a lower priority than the server's process, which has to answer probes and refuse
# requests within milliseconds.
_NICE = 5
# A worker that has had no batch for so long gives its free memory back. The next batch then takes
# a little longer, because the kernel has to give the memory again.
_IDLE_S = 2.0
# After so many batches, too, a worker gives its free memory back. Batches of different sizes divide
# the heap into blocks that no later batch can use: after five minutes a worker held 80 MB more.
_BATCHES_A_TRIM = 100


def work(
    connection: Connection,
    memory: BufferWrapper,
    config: WorkerConfig,
    network: Network | None,
) -> None:
    """Serve batches until the server closes the pipe.

    For each batch, the server sends the indices of the slots in which the photos lie. The worker
    sends back `Answered` or an error. To `Inspect` it sends back `Inspected` or an error.

    Args:
        connection: the worker's end of the pipe.
        memory: of the slots.
        config: of all workers of the model.
        network: the loaded network; None if the worker has to load it.
    """
    slots = as_array(memory, (config.slots, *config.photo_shape))
    images = np.zeros((config.buckets[-1], *config.photo_shape), np.uint8)
    try:
        _check_processor(config)
        if network is None:
            network = load_network(config.bundle, config.device, config.threads, config.engine)
            # Paddle may just have installed its own signal handlers.
            ignore_signals()
        engine = Engine(config.bundle, config.device, config.threads, config.engine, network)
        batch_seconds = _warm(engine, images, config)
        _free(engine)
    except StartupError as error:
        connection.send(error)
        return
    clock = batch_size.clock(config.device, config.threads)
    os.nice(_NICE)
    connection.send(Ready(engine.classes, batch_seconds, engine.warning))
    inspector, batches = Inspector(config), 0
    while True:
        if not connection.poll(_IDLE_S):
            # Batches leave as much free memory behind as the network holds.
            _free(engine)
        try:
            indices: list[int] | Inspect = connection.recv()
        except EOFError:
            return
        if isinstance(indices, Inspect):
            connection.send(inspector.answer(slots[indices.index], indices.question))
            continue
        count = len(indices)
        np.take(slots, indices, axis=0, out=images[:count])
        connection.send(_answer(engine, images[: config.bucket(count)], count, clock))
        batches += 1
        if batches % _BATCHES_A_TRIM == 0:
            _free(engine)


def _free(engine: Engine) -> None:
    engine.release()
    host.trim()


def _answer(
    engine: Engine, images: npt.NDArray[np.uint8], count: int, clock: batch_size.Clock
) -> Answered | InferenceFailed:
    # Rows beyond `count` still hold older photos, so their answers are cut off.
    started, before = time.perf_counter(), clock()
    try:
        scores, far = engine.answer(images)
        seconds, cost_s = time.perf_counter() - started, clock() - before
        return Answered(scores[:count], seconds, cost_s, None if far is None else far[:count])
    except Exception:
        log.exception("a batch failed")
        return InferenceFailed()


def _check_processor(config: WorkerConfig) -> None:
    """Refuse an engine that would be slower than the same library in float32.

    Raises:
        StartupError: the processor has no instructions for what the engine does.
    """
    if config.engine == "onnxruntime-int8" and not host.multiplies_bytes():
        raise StartupError(
            "the engine onnxruntime-int8 needs a processor that multiplies integers of 8 bits "
            "(VNNI); on this one, onnxruntime is at least as fast"
        )


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


def ignore_signals() -> None:
    """Ignore signals to the process group, because only the server decides when a worker ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
