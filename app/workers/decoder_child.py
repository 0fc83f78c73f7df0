"""The code of a decoder process: it turns uploads into pixels, both in shared memory.

It opens what strangers send, so it gives up all rights that it does not need before it reads the
first upload. A forkserver imports this module and `forkserver` once. Therefore a new decoder is a
fork of a process that has imported everything, and replaces a killed one within milliseconds.
"""

import importlib
import json
import os
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.heap import BufferWrapper
from typing import Any

import numpy as np

from app import host
from app.errors import CostlyImage, ServiceError
from app.images import heif
from app.images.decoding import decode
from app.images.preprocessing import Pixels, Preprocessing
from app.workers import sandbox
from app.workers.slots import as_array

# Decoders run at a lower priority than the server's process, as the model's workers do.
_NICE = 5
# Decoding a WebP with alpha takes 16 bytes a pixel, which is the most of all formats. The
# limit has room for a little more.
_BYTES_PER_PIXEL = 18
_BYTES_BESIDE = 64 * 2**20


@dataclass(frozen=True)
class DecoderConfig:
    """What a decoder is told at its start.

    Attributes:
        spec: from an upload to the network's pixels.
        max_pixels: larger images are refused; the limit of memory follows from it.
        timeout_s: CPU seconds that one upload may take.
        slots_shape: (slots, H, W, 3) of the shared memory for pixels.
    """

    spec: Preprocessing
    max_pixels: int
    timeout_s: float
    slots_shape: tuple[int, int, int, int]


def decode_uploads(
    connection: Connection,
    upload_memory: BufferWrapper,
    slots_memory: BufferWrapper,
    config: DecoderConfig,
) -> None:
    """Decode uploads until the server closes the pipe.

    For each upload, the server writes its bytes to `upload_memory` and sends (size, slot). The
    decoder writes the pixels to that slot and answers with JSON, because the server must not
    unpickle what a process says that has opened a stranger's file.
    """
    host.name_process("decoder")
    _be_silent()
    os.nice(_NICE)
    host.give_back_large_blocks()
    host.share_one_arena()
    upload, slots = upload_memory.create_memoryview(), as_array(slots_memory, config.slots_shape)
    # This does nothing in a fork of the forkserver, which has imported the module.
    importlib.import_module("app.workers.forkserver")
    memory_bytes = config.max_pixels * _BYTES_PER_PIXEL + _BYTES_BESIDE
    # libheif starts a thread for each tile of a picture, and no option keeps it from that.
    sandbox.enter(memory_bytes, threads=heif.available())
    connection.send_bytes(b"{}")
    while True:
        try:
            size, slot = json.loads(connection.recv_bytes())
        except EOFError:
            return
        # The kernel ends the process when the time is over, whatever a C library is doing.
        signal.setitimer(signal.ITIMER_PROF, config.timeout_s)
        reply = _decoded(bytes(upload[:size]), slots[slot], config)
        signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send_bytes(json.dumps(reply).encode())


def _decoded(upload: bytes, pixels: Pixels, config: DecoderConfig) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        photo = decode(upload, config.spec, config.max_pixels)
    except ServiceError as error:
        return {"code": error.code, "detail": str(error)}
    except MemoryError:
        return {"code": CostlyImage.code}
    np.copyto(pixels, photo.pixels)
    return {
        "width": photo.width,
        "height": photo.height,
        "format": photo.format,
        "seconds": time.perf_counter() - started,
    }


def _be_silent() -> None:
    """Keep signals to the process group and prints of C libraries away from the server's log."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
