"""The code of the zygote: it loads the network once, and each worker is a fork of it.

Forks share all memory to which none of them writes: Paddle's tables, the network's weights, Python.
Threads do not survive a fork. Therefore the zygote never runs the network, because Paddle starts
its threads with the first run. OpenVINO has threads then, but a worker that runs the network in one
thread does not need them.
"""

import gc
import os
import signal
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.heap import BufferWrapper

from app import host
from app.errors import StartupError
from app.model.engine import library, load_network
from app.model.network import Network
from app.telemetry.logs import configure_logging
from app.workers.child import ignore_signals, work
from app.workers.messages import WorkerConfig

# A request for a worker is the largest batch that was measured, or 0 if it has to measure.
REQUEST = struct.Struct("q")
# A new worker tells its process id.
PID = struct.Struct("q")
_MAX_WAIT_S = 5


def fork_workers(connection: Connection, memory: BufferWrapper, config: WorkerConfig) -> None:
    """Fork a worker for each request, until the server closes the pipe.

    With each request come two descriptors: the worker's end of its pipe, and the end of the pipe
    to which it writes its process id.
    """
    host.name_process("zygote")
    ignore_signals()
    # The processes of a model write to the server's log, so they use the same level and format.
    configure_logging(config.log_level, config.log_format)
    host.keep_freed_memory()
    signal.signal(signal.SIGCHLD, _reap)
    network = _loaded(config)
    with socket.socket(fileno=os.dup(connection.fileno())) as requests:
        connection.close()
        while True:
            request, descriptors, _, _ = socket.recv_fds(requests, REQUEST.size, 2)
            if not request:
                _wait_for_workers()
                return
            network = network or _loaded(config)
            if os.fork() == 0:
                requests.close()
                (size,) = REQUEST.unpack(request)
                _serve(descriptors, memory, replace(config, measured=size or None), network)
            for descriptor in descriptors:
                os.close(descriptor)


def _serve(
    descriptors: list[int],
    memory: BufferWrapper,
    config: WorkerConfig,
    network: Network | None,
) -> None:
    """Be a worker, and end with it."""
    code = 1
    try:
        host.name_process("worker")
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        pipe, life = descriptors
        os.write(life, PID.pack(os.getpid()))
        work(Connection(pipe), memory, config, network)
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        # The server has ended, or it has given this worker up and is about to kill it.
        pass
    except BaseException:  # noqa: BLE001  (nothing may return to the zygote's code)
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _loaded(config: WorkerConfig) -> Network | None:
    """Load what survives a fork: the network, or only its library, or nothing.

    Paddle and OpenVINO start threads for a network that runs in several threads. CUDA, ONNX Runtime
    and macOS's libraries do not survive a fork at all.
    """
    if config.device != "cpu" or config.engine.startswith("onnxruntime") or sys.platform != "linux":
        return None
    network = None
    # If this fails, the worker will try it again and tell the server why.
    with suppress(StartupError):
        library(config.engine)
        if config.threads == 1:
            network = load_network(config.bundle, config.device, 1, config.engine)
            network.prepare(config.buckets)
    _settle()
    return network


def _settle() -> None:
    """Put the process in order after a library has been loaded."""
    # Paddle has just installed its own signal handlers.
    ignore_signals()
    host.trim()
    host.forget_code()
    # The garbage collector would write to objects that all forks share.
    gc.collect()
    gc.freeze()


def _wait_for_workers() -> None:
    """Wait for the end of all workers, so that they do not become zombies of the first process."""
    # A worker that was stopped from outside does not end.
    signal.alarm(_MAX_WAIT_S)
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _reap(*_: object) -> None:
    """Let no worker that has ended stay a zombie."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
