"""`train`: trains a network on labelled photos, in a new run or in a run that was stopped."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from paddle import device, distributed
from paddle.utils import unique_name

from app.errors import StartupError, command
from app.host import granted_cores
from app.model.paddle_engine import require_gpu
from app.training.data.augment import Augmentation
from app.training.data.check import (
    BrokenPhoto,
    CheckedPhoto,
    CheckResult,
    check,
    inspect,
    list_photos,
)
from app.training.data.dataset import Dataset
from app.training.data.holdout import Photos, read_photos
from app.training.data.loader import Loader, PhotoReader
from app.training.learning.batches import Shard
from app.training.learning.inputs import RunContext
from app.training.learning.interruption import Interrupted, Interruption
from app.training.learning.learner import Learner
from app.training.learning.losses import make_loss
from app.training.learning.phases import REGRESSION, phases
from app.training.learning.trainer import Position, Trainer
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.options import Options, Recipe
from app.training.run.folder import Run, free_folder
from app.training.run.progress import Display
from app.training.run.report import write_report
from app.training.weights.pretrained import build_network, initial_network, preprocessing

# Without --workers, at most this many processes read photos.
_MAX_WORKERS = 8


def train(
    data: Path, options: Options, folder: Path | None, classes: Sequence[str] | None = None
) -> tuple[Run, Position]:
    """Train on the photos in `data`; return the run and its last position.

    Args:
        data: a folder of photos or a list file.
        options: the user's choices.
        folder: the new run's folder; by default the first free one below runs/.
        classes: the class names in order; by default the names of the class folders.

    Raises:
        StartupError: an option, a photo, the weights or the folder cannot be used, or the user
            pressed Ctrl-C. After Ctrl-C the message says how to continue.
    """
    # The guard restarts Paddle's numbering of names, so that the optimizer's moments have the same
    # names in every process.
    started = time.monotonic()
    with unique_name.guard():
        shard = _prepare(options)
        display = Display(quiet=shard.rank > 0)
        photos = read_photos(data, options.holdout, options.seed, classes)
        # This call checks the options before the slow work begins.
        phases(options, len(photos.train))
        if photos.classes == tuple(map(str, range(len(photos.classes)))):
            display.say("the class names are numbers; --labels FILE gives the classes other names")
        if shard.world > 1 and folder is None:
            raise StartupError("training with several processes needs --output RUN")
        if shard.world > 1 and options.minutes:
            raise StartupError("--minutes works with one process only: leave it out")
        if folder and shard.rank == 0:
            Run(folder).make()
        recipe, network = initial_network(options, photos.classes)
        photos = _checked(photos, options, display)
        run = Run(folder or free_folder(data))
        if shard.rank == 0:
            run.create(recipe, photos)
        if shard.world > 1:
            distributed.barrier()
        position = _run_trainer(run, network, photos, shard, display, started)
    return run, _learn_from_all(run, position, shard, display)


def resume(folder: Path) -> tuple[Run, Position]:
    """Continue the run in `folder`; return the run and its last position.

    The result is the same as if the run had not been stopped.

    Raises:
        StartupError: `folder` is not a run's folder, or the run cannot go on; see `train`.
    """
    started = time.monotonic()
    with unique_name.guard():
        run = Run(folder)
        recipe = run.recipe
        shard = _prepare(recipe.options)
        if run.last() is None:
            _, network = initial_network(recipe.options, recipe.classes)
        else:
            network = build_network(recipe)
        display = Display(quiet=shard.rank > 0)
        position = _run_trainer(run, network, run.photos, shard, display, started)
    return run, _learn_from_all(run, position, shard, display)


def _prepare(options: Options) -> Shard:
    """Set up Paddle's device and processes; return this process's shard of the batches."""
    if options.device == "gpu":
        require_gpu()
    elif options.amp:
        raise StartupError("--amp needs --device gpu, because AMP is not faster on a CPU")
    world = distributed.get_world_size()
    device.set_device(options.device)
    if world > 1:
        distributed.init_parallel_env()
    return Shard(distributed.get_rank(), world)


def _checked(photos: Photos, options: Options, display: Display) -> Photos:
    """Decode every photo once; return the photos without the broken ones.

    Raises:
        StartupError: a photo is broken, and the option --broken is "fail".
    """
    parts = {
        "train": Dataset(photos.classes, photos.train),
        "held out": Dataset(photos.classes, photos.validation),
    }
    with display, display.bar("checking photos", len(photos.all)):
        outcomes = inspect(list_photos(parts), granted_cores(), options.max_pixels, by_pixels=False)
        result = check(_shown(outcomes, display), parts)
        _warn(result, display)
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
            display.say(f"broken: {outcome.path}: {outcome.error}")
        yield outcome


def _warn(result: CheckResult, display: Display) -> None:
    """Show how many photos are on both sides, and how many are in two classes."""
    hint = f"`{command('dataset', 'check', 'DIR')}` lists them"
    if leaks := len(result.leaks):
        are = "photos are" if leaks > 1 else "photo is"
        display.say(
            f"{leaks} {are} held out and also learned from, "
            f"so the measured accuracy is too high; {hint}"
        )
    if contradictions := len(result.contradictions):
        are = "photos are" if contradictions > 1 else "photo is"
        display.say(f"{contradictions} {are} in two classes; {hint}")


def _learn_from_all(run: Run, position: Position, shard: Shard, display: Display) -> Position:
    """Learn once more from all photos if the option --refit asks for it.

    The regression and as many epochs as were best start again from the first weights, in a run of
    its own in the folder `run.refit`.

    Returns:
        The `position` of `run`, because only its figures come from photos that were held out.
    """
    recipe, best = run.recipe, position.best
    if not recipe.options.refit or recipe.refit or best is None:
        return position
    frozen, epochs = ("all", 0) if best["phase"] == REGRESSION else (best["frozen"], best["epoch"])
    changes = {"freeze": str(frozen), "epochs": epochs, "minutes": None}
    options = recipe.options.model_copy(update=changes)
    photos = Photos(recipe.classes, run.photos.all, run.photos.validation)
    again = run.refit
    display.say(
        f"once more from all {len(photos.train)} photos; the held-out ones are among them, "
        "so their figures below prove nothing"
    )
    # With a guard of their own, the moments of the second optimizer have the same names again.
    with unique_name.guard():
        if shard.rank == 0 and not again.exists:
            again.create(recipe.model_copy(update={"options": options, "refit": True}), photos)
        if shard.world > 1:
            distributed.barrier()
        _, network = initial_network(options, recipe.classes)
        _run_trainer(again, network, photos, shard, display, time.monotonic())
    return position


def _run_trainer(
    run: Run,
    network: MobileNetV2,
    photos: Photos,
    shard: Shard,
    display: Display,
    started: float,
) -> Position:
    """Train from the run's last checkpoint on, write the report, and return the last position."""
    recipe = run.recipe
    learner = Learner(network, recipe, make_loss(recipe.options, photos), shard.world)
    with ExitStack() as stack:
        loader = stack.enter_context(_loader(recipe))
        stack.enter_context(display)
        interruption = Interruption()
        # Several processes would stop at different steps and then wait for one another for ever.
        if shard.world == 1:
            stack.enter_context(interruption)
        context = RunContext(run, loader, display, shard, interruption, started)
        trainer = Trainer(learner, photos, context)
        trainer.resume()
        try:
            trainer.train()
        except Interrupted as error:
            trainer.save()
            folder = run.folder.parent if recipe.refit else run.folder
            raise StartupError(
                f"stopped and saved; go on with: {command('train', '--resume', folder)}"
            ) from error
        finally:
            if shard.rank == 0 and trainer.position.rows:
                write_report(run, trainer.position.rows)
    return trainer.position


def _loader(recipe: Recipe) -> Loader:
    options = recipe.options
    augmentation = Augmentation(options.min_area) if options.augment else None
    reader = PhotoReader(preprocessing(recipe, options.size), options.max_pixels, augmentation)
    workers = options.workers
    return Loader(reader, min(granted_cores(), _MAX_WORKERS) if workers is None else workers)
