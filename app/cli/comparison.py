"""The tables of `evaluate` with several bundles."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from app.training.evaluation.compare import Comparison, Contender


def comparison_tables(
    contenders: "Sequence[Contender]", comparisons: "Sequence[Comparison]"
) -> Iterator[Table]:
    """Yield a table of the bundles, and one of the differences from the first bundle."""
    yield _bundles(contenders)
    title = f"beside {contenders[0].name}: points of top-1, and photos that only one got right"
    table = Table(title=title, title_justify="left")
    table.add_column("bundle", overflow="fold")
    for name in ("top-1", "95 % interval", "only it", "only first", "verdict"):
        table.add_column(name)
    for comparison in comparisons:
        pair, (low, high) = comparison.pair, comparison.pair.interval
        table.add_row(
            comparison.contender.name,
            f"{100 * pair.difference:+.1f}",
            f"{100 * low:+.1f} to {100 * high:+.1f}",
            str(pair.only_this),
            str(pair.only_that),
            comparison.verdict,
        )
    yield table


def _bundles(contenders: "Sequence[Contender]") -> Table:
    table = Table()
    table.add_column("bundle", overflow="fold")
    for name in ("photos", "top-1", "recall", "calibration error", "photos/s"):
        table.add_column(name)
    for contender in contenders:
        metrics = contender.evaluation.document()
        table.add_row(
            contender.name,
            str(metrics["photos"]),
            f"{metrics['top1']:.1%}",
            f"{metrics['recall']:.1%}",
            f"{metrics['calibration_error']:.3f}",
            f"{metrics['images_per_s']:.0f}",
        )
    return table
