"""The threads that decode uploads, beside the event loop."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from app.images.decoding import Photo, decode
from app.images.preprocessing import Preprocessing
from app.serving.throughput import Throughput


class Decoders:
    """So many threads; what comes while all of them decode waits.

    Attributes:
        rate: at which they decode.
    """

    def __init__(self, count: int, max_pixels: int) -> None:
        self.rate = Throughput(lambda: count)
        self._max_pixels = max_pixels
        self._threads = ThreadPoolExecutor(count, "decode")

    def submit(self, data: bytes, spec: Preprocessing) -> asyncio.Future[Photo]:
        """Decode one upload; cancelling the future takes out one that has not begun."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, self._decode, data, spec)

    def stop(self) -> None:
        """Begin no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _decode(self, data: bytes, spec: Preprocessing) -> Photo:
        started = time.perf_counter()
        photo = decode(data, spec, self._max_pixels)
        # Another thread may learn at the same time, and one be lost: it is an estimate.
        self.rate.learn(time.perf_counter() - started)
        return photo
