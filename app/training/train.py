"""`train`: trains a network on labelled photos, in a new run or in a run that was stopped."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from paddle import device, distributed
from paddle.utils import unique_name

from app.errors import DiskFull, StartupError, Stopped, command
from app.host import granted_cores
from app.model.paddle_engine import require_gpu
from app.training.data.augment import Augmentation
from app.training.data.holdout import Photos, read_photos
from app.training.data.loader import Loader, PhotoReader
from app.training.learning.batches import Shard
from app.training.learning.choice import balances
from app.training.learning.inputs import RunContext
from app.training.learning.interruption import Interrupted, Interruption
from app.training.learning.learner import Learner
from app.training.learning.lengthening import lengthened, reopened
from app.training.learning.losses import make_loss
from app.training.learning.phases import REGRESSION, phases
from app.training.learning.trainer import Position, Trainer
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.options import Options, Recipe
from app.training.run.folder import Run, free_folder
from app.training.run.judge import judge
from app.training.run.photos import checked
from app.training.run.progress import Display
from app.training.run.report import write_report
from app.training.weights.pretrained import build_network, initial_network, preprocessing

# Without --workers, at most this many processes read photos.
_MAX_WORKERS = 8


def train(
    data: Path,
    options: Options,
    folder: Path | None,
    classes: Sequence[str] | None = None,
    repeat: str = "",
) -> tuple[Run, Position]:
    """Train on the photos in `data`; return the run and its last position.

    Args:
        data: a folder of photos or a list file.
        options: the user's choices.
        folder: the new run's folder; by default the first free one below runs/.
        classes: the class names in order; by default the names of the class folders.
        repeat: the command that repeats the run, for its page.

    Raises:
        StartupError: an option, a photo, the weights or the folder cannot be used, or the disk is
            full.
        Stopped: the user pressed Ctrl-C; the message says how to continue.
    """
    started = time.monotonic()
    # The guard restarts Paddle's numbering of names, so that the optimizer's moments have the same
    # names in every process.
    with unique_name.guard():
        shard = _prepare(options)
        display = Display(quiet=shard.rank > 0)
        photos = read_photos(data, classes)
        # This call checks the options before the slow work begins.
        phases(options, len(photos.train))
        if photos.classes == tuple(map(str, range(len(photos.classes)))):
            display.say("the class names are numbers; --labels FILE gives the classes other names")
        if shard.world > 1 and options.minutes:
            raise StartupError("--minutes works with one process only: leave it out")
        if folder and shard.rank == 0:
            Run(folder).make()
        recipe, network = initial_network(options, photos.classes)
        plan = phases(options, len(photos.train), kept=recipe.keeps_classifier)
        if recipe.keeps_classifier and plan[0].name != REGRESSION:
            display.say(f"{options.weights} has the same classes, so its classifier is kept")
        photos = checked(photos, options, display)
        if options.class_weights == "auto" and balances(options, photos):
            display.say(
                "because the classes are unequal, each counts the same in the loss, and the best "
                "epoch is the one with the highest mean recall; --class-weights none turns this off"
            )
        run = _new_run(folder, data, recipe, photos, shard)
        if shard.rank == 0:
            run.save_command(repeat)
        position = _run_trainer(run, network, photos, display, started)
    return run, _learn_from_all(run, photos, position, display)


def resume(folder: Path, epochs: int | None = None) -> tuple[Run, Position]:
    """Continue the run in `folder`; return the run and its last position.

    Without `epochs`, the result is the same as if the run had not been stopped.

    Args:
        folder: the run's folder.
        epochs: another number of epochs for the run's last phase; see `lengthened`.

    Raises:
        StartupError: `folder` is not a run's folder, or the run cannot go on; see `train`.
    """
    started = time.monotonic()
    with unique_name.guard():
        run = Run(folder)
        recipe = run.recipe
        shard = _prepare(recipe.options)
        if epochs is not None:
            last = run.last()
            rows = last.place["rows"] if last else []
            recipe = lengthened(recipe, rows, epochs, len(run.photos.train))
            run = Run(folder, recipe)
            if shard.rank == 0:
                run.save_recipe(recipe)
        if run.last() is None:
            _, network = initial_network(recipe.options, recipe.classes)
        else:
            network = build_network(recipe)
        display = Display(quiet=shard.rank > 0)
        longer = epochs is not None
        photos = run.photos
        position = _run_trainer(run, network, photos, display, started, longer=longer)
    return run, _learn_from_all(run, photos, position, display)


def leads() -> bool:
    """Return whether this process is the only one, or the first of several that train together."""
    return distributed.get_rank() == 0


def _new_run(folder: Path | None, data: Path, recipe: Recipe, photos: Photos, shard: Shard) -> Run:
    """Make the run's folder in the first process, which tells the others where it lies.

    The other processes only name it in messages, and may be on machines that cannot see it.
    """
    if shard.rank == 0:
        folder = folder or free_folder(data)
        Run(folder).create(recipe, photos)
    if shard.world > 1:
        told = [str(folder)]
        distributed.broadcast_object_list(told, src=0)
        folder = Path(told[0])
    assert folder  # noqa: S101  (for mypy)
    return Run(folder, recipe)


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


def _learn_from_all(run: Run, photos: Photos, position: Position, display: Display) -> Position:
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
    photos = Photos(recipe.classes, photos.all, photos.validation)
    again = Run(run.refit.folder, recipe.model_copy(update={"options": options, "refit": True}))
    display.say(
        f"once more from all {len(photos.train)} photos; the held-out ones are among them, "
        "so their figures below prove nothing"
    )
    # With a guard of their own, the moments of the second optimizer have the same names again.
    with unique_name.guard():
        if leads() and not again.exists:
            again.create(again.recipe, photos)
        _, network = initial_network(options, recipe.classes)
        _run_trainer(again, network, photos, display, time.monotonic())
    return position


def _run_trainer(
    run: Run,
    network: MobileNetV2,
    photos: Photos,
    display: Display,
    started: float,
    *,
    longer: bool = False,
) -> Position:
    """Train from the run's last checkpoint on, write the page, and return the last position."""
    recipe = run.recipe
    shard = Shard(distributed.get_rank(), distributed.get_world_size())
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
        if longer:
            plan = phases(recipe.options, len(photos.train), kept=recipe.keeps_classifier)
            trainer.position = reopened(trainer.position, plan)
            trainer.save()
        _train(trainer, context)
    return trainer.position


def _train(trainer: Trainer, context: RunContext) -> None:
    """Train to the end of the run and write the page, which also shows a run that was stopped.

    Raises:
        StartupError: the disk is full; the message says how to continue.
        Stopped: see `train`.
    """
    run, recipe = context.run, context.run.recipe
    # A run that learns from its held-out photos has no page: its figures prove nothing.
    has_page = context.shard.rank == 0 and not recipe.refit
    again = command("train", "--resume", run.folder.parent if recipe.refit else run.folder)
    held_out = None
    try:
        try:
            trainer.train()
            if has_page and trainer.position.rows:
                held_out = judge(run, context.display)
            context.interruption.check()
        except Interrupted as error:
            trainer.save()
            raise Stopped(error.signal, f"stopped and saved; go on with: {again}") from error
        finally:
            if has_page and trainer.position.rows:
                write_report(run, trainer.position.rows, _reader(recipe), held_out)
    except DiskFull as error:
        raise StartupError(f"{error}; make room, then go on with: {again}") from error


def _reader(recipe: Recipe) -> PhotoReader:
    options = recipe.options
    augmentation = Augmentation(options.min_area) if options.augment else None
    spec = preprocessing(recipe, options.size)
    return PhotoReader(spec, options.max_pixels, augmentation)


def _loader(recipe: Recipe) -> Loader:
    workers = recipe.options.workers
    reader = _reader(recipe)
    return Loader(reader, min(granted_cores(), _MAX_WORKERS) if workers is None else workers)
