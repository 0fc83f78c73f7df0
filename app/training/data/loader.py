"""Reads photos from disk into arrays, in other processes than the one that trains."""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from app.errors import ServiceError, StartupError
from app.images import decoding
from app.images.files import contents, reason
from app.images.preprocessing import Preprocessing
from app.training.data.augment import Augmentation

Images = npt.NDArray[np.uint8]


class View(NamedTuple):
    """A photo to read: as a random view if it has a key, else as the server reads it.

    The key alone seeds the random view, so it does not matter which process reads the photo.
    """

    path: Path
    key: tuple[int, ...] | None = None


@dataclass(frozen=True)
class PhotoReader:
    """Reads views of photos. It is small, so that it can be sent to other processes.

    Attributes:
        spec: the preprocessing that the server uses as well.
        max_pixels: larger photos are refused.
        augmentation: draws the random views; None if photos are always read as the server does.
    """

    spec: Preprocessing
    max_pixels: int
    augmentation: Augmentation | None

    def read(self, views: Sequence[View]) -> Images:
        """Return the views, (N, H, W, 3) uint8.

        Raises:
            StartupError: a photo cannot be read, although it was checked before training.
        """
        return np.stack([self._one(view) for view in views])

    def _one(self, view: View) -> Images:
        try:
            data = contents(view.path)
            if view.key is None or self.augmentation is None:
                return decoding.decode(data, self.spec, self.max_pixels).pixels
            at_least = 2 * max(self.spec.crop)
            photo = decoding.decode_full(data, self.max_pixels, at_least, self.spec.srgb)
        except ServiceError as error:
            raise StartupError(f"{view.path}: {reason(error)}") from error
        return self.augmentation.view(photo, self.spec, np.random.default_rng(view.key))


class Loader:
    """Reads batches of photos in `workers` processes, before the caller asks for them.

    With 0 workers, this process reads each batch when the caller asks for it. The processes are
    spawned and not forked, because Paddle's threads do not survive a fork.
    """

    def __init__(self, reader: PhotoReader, workers: int) -> None:
        self._reader = reader
        self._ahead = workers + 1
        self._pool: Executor | None = None
        if workers:
            self._pool = ProcessPoolExecutor(workers, get_context("spawn"), _follow_parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def read(
        self, batches: Iterable[Sequence[View]], spec: Preprocessing | None = None
    ) -> Iterator[Images]:
        """Yield (N, H, W, 3) uint8 for each batch, in the order of the batches.

        Args:
            batches: the views of each batch.
            spec: the preprocessing; by default that of the reader.

        Raises:
            StartupError: a photo cannot be read, or a process was killed.
        """
        reader = replace(self._reader, spec=spec or self._reader.spec)
        if self._pool is None:
            yield from map(reader.read, batches)
            return
        waiting: deque[Future[Images]] = deque()
        try:
            for batch in batches:
                waiting.append(self._pool.submit(reader.read, batch))
                if len(waiting) > self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise StartupError(
                "a process that reads photos was killed: if memory ran out, use fewer --workers"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _follow_parent() -> None:
    """Make this process end together with its parent, and ignore signals to the process group.

    If a reader died while it was sending a batch, the parent would wait for the rest for ever.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if parent := parent_process():
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
