"""The page of an evaluation: one HTML file that needs no other."""

from pathlib import Path

from app.pace import duration
from app.training.evaluation.evaluate import Evaluation
from app.training.report.looks import Looks
from app.training.report.markup import join, section, tag, tiles, write_page
from app.training.report.sections import accuracy_tiles, judged_sections


def write_evaluation_page(
    evaluation: Evaluation, looks: Looks, command: str, path: Path, note: str = ""
) -> None:
    """Write the page.

    Args:
        evaluation: what is shown.
        looks: draws the photos.
        command: repeats the evaluation.
        path: of the page.
        note: what the reader must know first; it may be empty.
    """
    bundle, photos = evaluation.bundle, len(evaluation.samples)
    read = photos + len(evaluation.skipped)
    speed = f"{read / evaluation.seconds:.0f} photos/s"
    time = ("Time", duration(evaluation.seconds), f"{read} photos read and classified, {speed}")
    write_page(
        path,
        f"Evaluation of {bundle.name}",
        tag("p", f"Version {bundle.version}, {photos} photos. Bundle: {bundle.directory}"),
        tag("p", note) if note else "",
        tiles([*accuracy_tiles(evaluation), time]),
        judged_sections(evaluation, looks),
        _skipped(evaluation),
        section("The command to repeat it", "", tag("pre", command)),
    )


def _skipped(evaluation: Evaluation) -> str:
    if not evaluation.skipped:
        return ""
    lines = (tag("li", f"{error.file}: {error.detail}") for error in evaluation.skipped)
    about = f"{len(evaluation.skipped)} photos could not be read and do not count."
    return section("Skipped", about, tag("ul", join(lines)))
