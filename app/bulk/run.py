"""The command `classify`: what is listed and not yet in the table is classified and added."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from app.bulk import machine
from app.bulk.progress import Count, Display
from app.bulk.records import Record, Wishes
from app.bulk.sources import listing
from app.bulk.tables import Table, opened
from app.bulk.text import JsonLines
from app.errors import StartupError
from app.model.bundle import Bundle, load_bundle
from app.settings import Settings

Work = Callable[[Iterable[str], Bundle, Settings, Wishes, machine.Keep], None]


@dataclass(frozen=True)
class Options:
    """The options of `classify` beside the settings.

    Attributes:
        source: a folder, a list file or a URL.
        output: the path of the table.
        wishes: what a record has.
        ray: the address of a Ray cluster; "local" starts one here; None needs no Ray.
    """

    source: str
    output: Path
    wishes: Wishes
    ray: str | None = None


def classify(settings: Settings, options: Options, console: Console) -> None:
    """Classify all photos of a source that are not yet in the table.

    Raises:
        StartupError: the work cannot begin or cannot go on; the table keeps what it has.
        BundleError: the bundle cannot be used.
        OSError: a folder cannot be read.
        KeyboardInterrupt: somebody has pressed Ctrl-C; the table keeps what it has.
    """
    bundle = load_bundle(settings.model_dir)
    with opened(options.output, options.wishes, bundle, settings.engine) as table:
        # Only the names of the photos are kept in memory, and each name once.
        left = dict.fromkeys(listing(options.source))
        total = len(left)
        for name in table.names():
            left.pop(name, None)
        count = Count(total, total - len(left))
        console.print(f"{total:,} photos, {len(left):,} of them to classify", soft_wrap=True)
        try:
            if left:
                with Display(count, console) as display:
                    keep = partial(_keep, table, count, display)
                    _work(options.ray)(left, bundle, settings, options.wishes, keep)
        except KeyboardInterrupt:
            summary = f"{options.output}: {count.summary()}"
            console.print(f"{summary}; the same command goes on from here", soft_wrap=True)
            raise
        _finish(table)
        console.print(f"{options.output}: {count.summary()}", soft_wrap=True)


def _work(ray: str | None) -> Work:
    if ray is None:
        return machine.classify
    try:
        from app.bulk import cluster  # noqa: PLC0415  (only a cluster needs Ray)
    except ImportError as error:
        raise StartupError(
            "--ray needs Ray: install requirements/ray.txt, which `make .venv/ray` does"
        ) from error
    return partial(cluster.classify, address=ray)


def _keep(table: Table, count: Count, display: Display, records: Sequence[Record]) -> None:
    """Add records to the table, and show that.

    Raises:
        StartupError: the table cannot be written.
    """
    try:
        table.write(records)
    except OSError as error:
        each = sum(map(len, map(JsonLines(list(records[0])).line, records))) / len(records)
        raise StartupError(
            f"cannot write {error.filename}: {error.strerror}; the photos that are left need about "
            f"{each * count.left / 1e6:,.1f} MB. The same command goes on where this one stopped"
        ) from error
    count.add(records)
    display.update()


def _finish(table: Table) -> None:
    try:
        table.finish()
    except OSError as error:
        raise StartupError(
            f"cannot write {error.filename}: {error.strerror}; all answers are kept, and with more "
            "room the same command puts them in place"
        ) from error
