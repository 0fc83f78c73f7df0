"""`classify URL FOLDER`: classifies the photos of a folder, and writes a table (CSV)."""

import argparse
import asyncio
import csv
import io
import os
import re
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TextIO

from photo_classifier.answers import Answer
from photo_classifier.client import AsyncClassifier
from photo_classifier.errors import ClassifierError, KeyRefused, Unreachable

SUFFIXES = re.compile(r"\.(jpe?g|mpo|png|webp|bmp|gif|tiff?|avif|hei[cf]|hif)", re.IGNORECASE)
COLUMNS = ("file", "rank", "label", "score", "class_id", "error")
# With more requests at once, a full service would only let them wait.
AT_ONCE = 4
# A wrong address and a service that starts look the same for a while.
PATIENCE_S = 5.0

Outcome = Answer | ClassifierError | OSError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 if a photo has no answer, or 2 if there is no service."""
    options = _options(arguments)
    photos = sorted(_photos(options.folder))
    if not photos:
        missing = " has no photos" if options.folder.exists() else ": no such file or folder"
        print(f"{options.folder}{missing}", file=sys.stderr)
        return 2
    try:
        opened = _table(options.output)
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    with opened as table:
        try:
            return asyncio.run(_run(options, photos, table))
        except (KeyRefused, Unreachable) as error:
            print(f"\n{error}", file=sys.stderr)
        except KeyboardInterrupt:
            print(file=sys.stderr)
    return 2


def _table(output: Path | None) -> AbstractContextManager[TextIO]:
    """Open the table. Bytes of a file's name that are no text are written as escapes.

    Raises:
        OSError: the file cannot be written.
    """
    if output:
        return output.open("w", encoding="utf-8", errors="backslashreplace", newline="")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return nullcontext(sys.stdout)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("classify", description=__doc__)
    parser.add_argument("url", help="address of the service, such as http://127.0.0.1:8000")
    parser.add_argument("folder", type=Path, help="folder with photos, with all below it")
    parser.add_argument(
        "--key", default=os.environ.get("PHOTO_CLASSIFIER_KEY"), help="key of the service"
    )
    parser.add_argument("--output", type=Path, help="file for the table; by default it is printed")
    parser.add_argument("--top-k", type=int, default=1, help="classes for each photo (1)")
    parser.add_argument(
        "--at-once", type=int, default=AT_ONCE, help="requests at the same time (4)"
    )
    parser.add_argument("--timeout-s", type=float, default=300, help="seconds for a photo (300)")
    return parser.parse_args(arguments)


def _photos(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
    for path in folder.rglob("*"):
        if SUFFIXES.fullmatch(path.suffix) and path.is_file():
            yield path


async def _run(options: argparse.Namespace, photos: Sequence[Path], table: TextIO) -> int:
    writer, failed = csv.writer(table), 0
    writer.writerow(COLUMNS)
    progress = Progress(len(photos))
    waits = asyncio.get_running_loop().call_later(PATIENCE_S, _tell_wait, options)
    async with AsyncClassifier(options.url, options.key, timeout_s=options.timeout_s) as classifier:
        async for path, outcome in _outcomes(classifier, photos, options):
            waits.cancel()
            writer.writerows(_rows(path, outcome))
            table.flush()
            failed += not isinstance(outcome, Answer)
            progress.step(failed)
    progress.end(failed)
    return 1 if failed else 0


def _tell_wait(options: argparse.Namespace) -> None:
    print(
        f"no answer from {options.url} yet; each photo waits for at most {options.timeout_s:g} s",
        file=sys.stderr,
    )


async def _outcomes(
    classifier: AsyncClassifier, photos: Sequence[Path], options: argparse.Namespace
) -> AsyncIterator[tuple[Path, Outcome]]:
    """Yield each photo's outcome, in order, with a few requests under way."""
    under_way: deque[tuple[Path, asyncio.Task[Outcome]]] = deque()
    try:
        for path in photos:
            task = asyncio.create_task(_outcome(classifier, path, options.top_k))
            under_way.append((path, task))
            if len(under_way) >= options.at_once:
                done, first = under_way.popleft()
                yield done, await first
        while under_way:
            done, first = under_way.popleft()
            yield done, await first
    finally:
        for _, task in under_way:
            task.cancel()
        await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)


async def _outcome(classifier: AsyncClassifier, path: Path, top_k: int) -> Outcome:
    try:
        return await classifier.predict(path, top_k=top_k)
    except (KeyRefused, Unreachable):
        raise
    except (ClassifierError, OSError) as error:
        return error


def _rows(path: Path, outcome: Outcome) -> Iterator[tuple[object, ...]]:
    if not isinstance(outcome, Answer):
        code = outcome.code if isinstance(outcome, ClassifierError) else "unreadable"
        yield path, "", "", "", "", f"{code}: {outcome}"
        return
    if not outcome.predictions:
        # The model has thresholds, and no class reaches its own.
        yield path, "", "", "", "", ""
    for rank, one in enumerate(outcome.predictions, 1):
        yield path, rank, one.label, one.score, one.class_id, ""


class Progress:
    """A bar on the terminal. Where there is no terminal, only the last line is printed."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._done = 0
        self._started = time.monotonic()

    def step(self, failed: int) -> None:
        """Show that one more photo is done."""
        self._done += 1
        if sys.stderr.isatty():
            filled = 30 * self._done // self._count
            left_s = (time.monotonic() - self._started) * (self._count / self._done - 1)
            bar = "#" * filled + "." * (30 - filled)
            line = f"[{bar}] {self._done} of {self._count}, {left_s:.0f} s left, {failed} errors"
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

    def end(self, failed: int) -> None:
        """Show the result."""
        seconds = time.monotonic() - self._started
        start = "\r\033[K" if sys.stderr.isatty() else ""
        line = f"{self._count} photos in {seconds:.1f} s, {failed} without an answer"
        print(start + line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
