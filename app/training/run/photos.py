"""The photos of a new run: decoded once, checked, and some of them held out."""

from collections.abc import Iterable, Iterator

from app.errors import StartupError, command
from app.host import granted_cores
from app.images.files import reason
from app.training.copies.inspection import BrokenPhoto, CheckedPhoto, inspect
from app.training.data.dataset import list_photos
from app.training.data.holdout import Photos, hold_out
from app.training.options import Options
from app.training.quality.cautions import cautions
from app.training.quality.check import CheckResult, check, kind
from app.training.run.progress import Display


def checked(photos: Photos, options: Options, display: Display) -> Photos:
    """Decode every photo once; hold some out; return the photos without the broken ones.

    Raises:
        StartupError: a photo is broken, and the option --broken is "fail".
    """
    with display, display.bar("checking photos", len(photos.all)):
        looks = inspect(list_photos(photos.parts), granted_cores(), options.max_pixels)
        outcomes = list(_shown(looks, display))
        photos, outcomes = hold_out(photos, outcomes, options.holdout, options.seed)
        result = check(outcomes, photos.parts)
        _warn(result, display)
        for caution in cautions(result, photos.parts, options.size):
            display.say(f"warning: {caution}")
    broken = [path for path, _ in result.broken]
    if broken and options.broken == "fail":
        count = "1 photo" if len(broken) == 1 else f"{len(broken)} photos"
        raise StartupError(
            f"{count} cannot be read, first {broken[0]}: remove broken photos or use --broken skip"
        )
    return photos.without(broken)


def _shown(
    outcomes: Iterable[CheckedPhoto | BrokenPhoto], display: Display
) -> Iterator[CheckedPhoto | BrokenPhoto]:
    """Yield the outcomes; move the progress bar on, and show each broken photo."""
    for outcome in outcomes:
        display.advance(1)
        if isinstance(outcome, BrokenPhoto):
            display.say(f"broken: {outcome.path}: {reason(outcome.error)}")
        yield outcome


def _warn(result: CheckResult, display: Display) -> None:
    """Show how many photos are on both sides, and how many are in two classes."""
    hint = f"`{command('dataset', 'check', 'DIR')}` lists them"
    near = [kind(group) for group in result.near]
    if leaks := len(result.leaks) + near.count("leak"):
        are = "photos are" if leaks > 1 else "photo is"
        display.say(
            f"{leaks} {are} held out and also learned from, "
            f"so the measured accuracy is too high; {hint}"
        )
    if contradictions := len(result.contradictions) + near.count("two classes"):
        are = "photos are" if contradictions > 1 else "photo is"
        display.say(f"{contradictions} {are} in two classes; {hint}")
