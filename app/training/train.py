"""`train`: from photos, or from a run that was stopped, to a trained network."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from paddle import device, distributed
from paddle.utils import unique_name

from app.errors import StartupError, command
from app.host import granted_cores
from app.model.paddle_engine import require_gpu
from app.model.transform_ops import read_transform_ops
from app.training.data.augment import Augmentation
from app.training.data.check import Broken, Findings, Look, check, inspect, tasks
from app.training.data.dataset import Dataset
from app.training.data.holdout import Photos, read_photos
from app.training.data.loader import Loader, PhotoReader
from app.training.learning.batches import Shard
from app.training.learning.interruption import Interrupted, Interruption
from app.training.learning.learner import Learner
from app.training.learning.losses import Loss, balanced_weights
from app.training.learning.phases import phases
from app.training.learning.trainer import Position, RunContext, Trainer
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.options import Options, Recipe
from app.training.run.folder import Run, free_folder
from app.training.run.progress import Display
from app.training.run.report import write_report
from app.training.weights.pretrained import build_network, start

_MAX_WORKERS = 8


def train(
    data: Path, options: Options, folder: Path | None, classes: Sequence[str] | None = None
) -> tuple[Run, Position]:
    """Train on the photos in `data`; return the run and where it ended.

    `classes` are their names in order, where they are not those of the folders.

    Raises:
        StartupError: there is not what it takes, or somebody pressed Ctrl-C; the text says how to
            go on then.
    """
    with unique_name.guard():  # the optimizer's moments have the same names in every process
        share = _prepare(options)
        display = Display(quiet=share.rank > 0)
        phases(options)  # what cannot be is said before the work
        photos = read_photos(data, options.holdout, options.seed, classes)
        if photos.classes == tuple(map(str, range(len(photos.classes)))):
            display.say("the classes have numbers for names; --labels FILE gives them others")
        if share.world > 1 and folder is None:
            raise StartupError("several processes need the run's folder named: --output RUN")
        if folder and share.rank == 0:
            Run(folder).make()
        recipe, network = start(options, photos.classes)
        photos = _sound(photos, options, display)
        run = Run(folder or free_folder(data))
        if share.rank == 0:
            run.create(recipe, photos)
        if share.world > 1:
            distributed.barrier()
        return run, _work(run, network, photos, share, display)


def resume(folder: Path) -> tuple[Run, Position]:
    """Go on with the run in `folder`, as if it had not been stopped.

    Raises:
        StartupError: as `train`, or it is no run's folder.
    """
    with unique_name.guard():
        run = Run(folder)
        share = _prepare(run.recipe.options)
        network = _fresh(run.recipe) if run.last() is None else build_network(run.recipe)
        return run, _work(run, network, run.photos, share, Display(quiet=share.rank > 0))


def _fresh(recipe: Recipe) -> MobileNetV2:
    return start(recipe.options, recipe.classes)[1]


def _prepare(options: Options) -> Shard:
    """Set Paddle up; return this process's part of the work."""
    if options.device == "gpu":
        require_gpu()
    elif options.amp:
        raise StartupError("--amp needs --device gpu: on CPU it would not be quicker")
    world = distributed.get_world_size()
    device.set_device(options.device)
    if world > 1:
        distributed.init_parallel_env()
    return Shard(distributed.get_rank(), world)


def _sound(photos: Photos, options: Options, display: Display) -> Photos:
    """Decode every photo once; leave out what is broken, or stop where that is asked for."""
    parts = {
        "train": Dataset(photos.classes, photos.train),
        "held out": Dataset(photos.classes, photos.validation),
    }
    with display, display.bar("checking photos", len(photos.all)):
        looks = inspect(tasks(parts), granted_cores(), options.max_pixels, by_pixels=False)
        found = check(_shown(looks, display), parts)
        _warn(found, display)
    broken = [path for path, _ in found.broken]
    if broken and options.broken == "fail":
        raise StartupError(f"{len(broken)} photos cannot be read, the first is {broken[0]}")
    return photos.without(broken)


def _shown(looks: Iterable[Look | Broken], display: Display) -> Iterator[Look | Broken]:
    for look in looks:
        display.advance(1)
        if isinstance(look, Broken):
            display.say(f"broken: {look.path}: {look.error}")
        yield look


def _warn(found: Findings, display: Display) -> None:
    named = f"`{command('dataset', 'check', 'DIR')}` names them"
    if leaks := len(found.leaks):
        are = "photos are" if leaks > 1 else "photo is"
        display.say(f"{leaks} {are} held out and learned from too, which flatters; {named}")
    if several := len(found.contradictions):
        stand = "photos stand" if several > 1 else "photo stands"
        display.say(f"{several} {stand} under two classes; {named}")


def _work(
    run: Run, network: MobileNetV2, photos: Photos, share: Shard, display: Display
) -> Position:
    recipe = run.recipe
    learner = Learner(network, recipe, _loss(recipe.options, photos), share.world)
    with ExitStack() as stack:
        loader = stack.enter_context(_loader(recipe))
        stack.enter_context(display)
        interruption = Interruption()
        if share.world == 1:  # several would stop at different steps, and wait for one another
            stack.enter_context(interruption)
        trainer = Trainer(learner, photos, RunContext(run, loader, display, share, interruption))
        trainer.resume()
        try:
            trainer.train()
        except Interrupted as error:
            trainer.save()
            raise StartupError(
                f"stopped and saved; go on with: {command('train', '--resume', run.folder)}"
            ) from error
        finally:
            if share.rank == 0 and trainer.place.rows:
                write_report(run, trainer.place.rows)
    return trainer.place


def _loader(recipe: Recipe) -> Loader:
    options = recipe.options
    augmentation = Augmentation(options.min_area) if options.augment else None
    eyes = PhotoReader(read_transform_ops(recipe.transform_ops), options.max_pixels, augmentation)
    workers = options.workers
    return Loader(eyes, min(granted_cores(), _MAX_WORKERS) if workers is None else workers)


def _loss(options: Options, photos: Photos) -> Loss:
    weights = None
    if options.class_weights == "balanced":
        labels = np.array([sample.class_id for sample in photos.train])
        weights = tuple(balanced_weights(labels, len(photos.classes)))
    return Loss(options.epsilon if options.loss == "poly1" else 0.0, options.smoothing, weights)
