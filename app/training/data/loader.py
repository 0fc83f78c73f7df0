"""Photos from disk to arrays, in processes beside the one that learns."""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from app.errors import ServiceError, StartupError
from app.images import decoding
from app.images.files import contents
from app.images.preprocessing import Preprocessing
from app.training.data.augment import Augmentation

Images = npt.NDArray[np.uint8]


class View(NamedTuple):
    """A photo as it is to be seen: by lot where there is a key, else as the server sees it.

    The key alone decides what is drawn, so it does not matter which process reads the photo.
    """

    path: Path
    key: tuple[int, ...] | None = None


@dataclass(frozen=True)
class PhotoReader:
    """How views are made. Cheap to send to another process."""

    spec: Preprocessing
    max_pixels: int
    augmentation: Augmentation | None

    def read(self, views: Sequence[View]) -> Images:
        """Return (N, H, W, 3) uint8.

        Raises:
            StartupError: a photo that could be read before cannot be read now.
        """
        return np.stack([self._one(view) for view in views])

    def _one(self, view: View) -> Images:
        try:
            data = contents(view.path)
            if view.key is None or self.augmentation is None:
                return decoding.decode(data, self.spec, self.max_pixels).pixels
            photo = decoding.decode_full(data, self.max_pixels, 2 * max(self.spec.crop))
        except ServiceError as error:
            raise StartupError(f"{view.path}: {error}") from error
        return self.augmentation.view(photo, self.spec, np.random.default_rng(view.key))


class Loader:
    """Reads batches ahead in `workers` processes; with 0 in this one, when they are asked for.

    The processes are started anew, not forked: Paddle's threads do not survive a fork.
    """

    def __init__(self, eyes: PhotoReader, workers: int) -> None:
        self._eyes = eyes
        self._ahead = workers + 1
        self._pool: Executor | None = None
        if workers:
            self._pool = ProcessPoolExecutor(workers, get_context("spawn"), _follow_parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def read(self, batches: Iterable[Sequence[View]]) -> Iterator[Images]:
        """Yield (N, H, W, 3) uint8 for each batch, in their order.

        Raises:
            StartupError: a photo cannot be read, or a process was killed.
        """
        if self._pool is None:
            yield from map(self._eyes.read, batches)
            return
        waiting: deque[Future[Images]] = deque()
        try:
            for batch in batches:
                waiting.append(self._pool.submit(self._eyes.read, batch))
                if len(waiting) > self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise StartupError("a process that reads photos was killed") from error
        finally:
            for future in waiting:
                future.cancel()


def _follow_parent() -> None:
    """End when the parent does and not before, whatever signal goes to the whole group.

    A process that dies as it hands over a batch would leave the parent waiting for the rest.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if parent := parent_process():
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
