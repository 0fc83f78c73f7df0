"""The threads that decode uploads while the event loop goes on."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from app.images.decoding import Photo, decode
from app.images.preprocessing import Preprocessing
from app.serving.throughput import Throughput


class Decoders:
    """A fixed number of threads that decode uploads. While all are busy, further uploads wait.

    Attributes:
        rate: the throughput of the threads.
    """

    def __init__(self, count: int, max_pixels: int) -> None:
        self.rate = Throughput(lambda: count)
        self._max_pixels = max_pixels
        self._threads = ThreadPoolExecutor(count, "decode")

    def submit(self, data: bytes, spec: Preprocessing) -> asyncio.Future[Photo]:
        """Decode one upload, and return its future.

        Cancelling the future removes the upload if no thread has started to decode it.
        """
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, self._decode, data, spec)

    def stop(self) -> None:
        """Drop the uploads that wait. An upload that is being decoded finishes."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _decode(self, data: bytes, spec: Preprocessing) -> Photo:
        started = time.perf_counter()
        photo = decode(data, spec, self._max_pixels)
        # If two threads call `learn` at once, one measurement may be lost. The rate is only an
        # estimate, so that does no harm.
        self.rate.learn(time.perf_counter() - started)
        return photo
