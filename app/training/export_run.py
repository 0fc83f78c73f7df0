"""`export`: a run's best network as a bundle, measured and calibrated on held-out photos."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import StartupError, command
from app.host import granted_cores
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.model.offline import classify
from app.training.data.holdout import Photos
from app.training.evaluation.accuracy import Scored
from app.training.evaluation.evaluate import evaluate
from app.training.evaluation.recall import measure_recall
from app.training.evaluation.temperature import fit_temperature
from app.training.learning.phases import phases
from app.training.network.export import Card, check_replaceable, export
from app.training.network.folding import divide_logits
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.options import Recipe
from app.training.run.folder import Run
from app.training.run.progress import Display
from app.training.weights.origins import model_name, resized
from app.training.weights.unfamiliar import Fitted, add_unfamiliar


def deliver(
    folder: Path, directory: Path | None = None, size: int | None = None
) -> tuple[Path, dict[str, Any], str]:
    """Export the best network of the run in `folder` as a bundle.

    The accuracy is measured on an exported bundle with the code that serves it. The last layer's
    logits are then divided by the fitted temperature, which changes the scores but not their order.
    Training and held-out photos teach the bundle to tell photos of other things.

    If the run has learned once more from all photos, the bundle has that network. Its accuracy, its
    temperature and its limit for photos of other things are those of the network before, because
    only that one has photos that it has never seen.

    Args:
        folder: the run's folder.
        directory: the bundle's path; by default the folder "bundle" in the run's folder.
        size: the width and the height of the network's input in pixels, a multiple of 32; by
            default the one that was best on the held-out photos.

    Returns:
        The bundle's path; its accuracy, its temperature and how well it tells photos of other
        things, as plain data for JSON; and a sentence on the recall of each class.

    Raises:
        StartupError: `folder` is not a run's folder or has no best network yet, its second run was
            stopped, `directory` exists and is not a bundle, a held-out photo cannot be read, or
            the bundle gives other scores than the network.
    """
    run, target = Run(folder), directory or folder / "bundle"
    check_replaceable(target)
    size = size or run.best_size
    if run.recipe.refit:
        raise StartupError(f"{folder} has no held-out photos: export {folder.parent}")
    recipe = run.recipe.model_copy(
        update={"transform_ops": resized(run.recipe.transform_ops, size)}
    )
    if recipe.options.refit:
        _require_second_run(run)
    network = run.best_network()
    scored, before = _measure(network, recipe, run.photos)
    logits = np.log(np.maximum(scored.scores, np.finfo(np.float32).tiny))
    temperature = fit_temperature(logits, scored.truth)
    learned = len(run.photos.train)
    if recipe.options.refit:
        network, learned = run.refit.best_network(), len(run.refit.photos.train)
    divide_logits(network.out, temperature)
    recall = measure_recall(scored.rank, scored.truth, len(recipe.classes))
    metrics = {
        "accuracy": _accuracy(scored) | recall.document(recipe.classes),
        "temperature": round(temperature, 6),
        "input_size": {"learned": recipe.options.size, "exported": size},
        "learned_from": {"photos": learned, "held_out_too": recipe.options.refit},
    }
    export(network, _card(recipe, run, metrics), target)
    fitted = add_unfamiliar(target, run.photos, recipe.options.max_pixels, before)
    metrics["unfamiliar"] = fitted.document()
    return target, metrics, recall.sentence(recipe.classes)


def _require_second_run(run: Run) -> None:
    """Check that the run has learned once more from all photos, up to the end.

    Raises:
        StartupError: it was stopped before.
    """
    again = run.refit
    last = again.last() if again.exists else None
    if last:
        plan = phases(
            again.recipe.options, len(again.photos.train), kept=again.recipe.keeps_classifier
        )
        if last.place["phase"] == len(plan):
            return
    raise StartupError(
        f"{run.folder} has not learned from all photos yet: "
        f"go on with {command('train', '--resume', run.folder)}"
    )


def _accuracy(scored: Scored) -> dict[str, Any]:
    top1, top5 = (round(scored.top(count), 6) for count in (1, 5))
    return {"top1": top1, "top5": top5, "photos": len(scored.truth)}


def _card(recipe: Recipe, run: Run, metrics: dict[str, Any]) -> Card:
    origin = {key: value for key, value in recipe.origin.items() if key != "accuracy"}
    provenance = {
        "source": f"trained here, run {run.folder.resolve().name}",
        "started_from": origin,
        **metrics,
        "training": recipe.options.model_dump(exclude={"max_pixels", "workers"}),
    }
    name = model_name(recipe.scale)
    return Card(name, recipe.transform_ops, recipe.classes, provenance, recipe.srgb)


def _measure(network: MobileNetV2, recipe: Recipe, photos: Photos) -> tuple[Scored, Fitted | None]:
    """Export the uncalibrated network to a temporary bundle and classify the held-out photos.

    Returns:
        The answers; and what the bundle knows of other photos, if another network is to learn from
        the held-out ones.
    """
    samples, max_pixels = photos.validation, recipe.options.max_pixels
    name = model_name(recipe.scale)
    card = Card(name, recipe.transform_ops, recipe.classes, {}, recipe.srgb)
    with tempfile.TemporaryDirectory(prefix="measured-") as temporary:
        export(network, card, Path(temporary) / "bundle")
        bundle = load_bundle(Path(temporary) / "bundle")
        engine = Engine(bundle, threads=granted_cores())
        paths = [sample.path for sample in samples]
        answers = classify(paths, bundle, engine, max_pixels)
        shown = Display().each(answers, "classifying held-out photos", len(samples))
        scored = evaluate(bundle, samples, shown, skip_broken=False).result
        refit = recipe.options.refit
        return scored, add_unfamiliar(bundle.directory, photos, max_pixels) if refit else None
