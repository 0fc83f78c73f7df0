"""`export`: a run's best network as a bundle, measured and calibrated on held-out photos."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import StartupError
from app.host import granted_cores
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.model.offline import classify
from app.training.data.dataset import Sample
from app.training.evaluation.accuracy import Scored
from app.training.evaluation.evaluate import evaluate
from app.training.evaluation.temperature import fit_temperature
from app.training.network.export import Card, check_replaceable, export
from app.training.network.folding import divide_logits
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.options import Recipe
from app.training.run.folder import Run
from app.training.weights.origins import model_name, resized


def deliver(
    folder: Path, directory: Path | None = None, size: int | None = None
) -> tuple[Path, dict[str, Any]]:
    """Export the best network of the run in `folder` as a bundle.

    The accuracy is measured on an exported bundle with the code that serves it. The last layer's
    logits are then divided by the fitted temperature, which changes the scores but not their order.
    If the run has learned once more from all photos, the bundle has that network, with the accuracy
    and the temperature of the one before, because only that one has photos that it has never seen.

    Args:
        folder: the run's folder.
        directory: the bundle's path; by default the folder "bundle" in the run's folder.
        size: the width and the height of the network's input in pixels, a multiple of 32; by
            default the one that was best on the held-out photos.

    Returns:
        The bundle's path, and its accuracy and temperature as plain data for JSON.

    Raises:
        StartupError: `folder` is not a run's folder or has no best network yet, `directory` exists
            and is not a bundle, a held-out photo cannot be read, or the bundle gives other scores
            than the network.
    """
    run, target = Run(folder), directory or folder / "bundle"
    check_replaceable(target)
    size = size or run.best_size
    if run.recipe.refit:
        raise StartupError(f"{folder} has no held-out photos: export {folder.parent}")
    recipe = run.recipe.model_copy(
        update={"transform_ops": resized(run.recipe.transform_ops, size)}
    )
    network = run.best_network()
    scored = _measure(network, recipe, run.photos.validation)
    logits = np.log(np.maximum(scored.scores, np.finfo(np.float32).tiny))
    temperature = fit_temperature(logits, scored.truth)
    learned = len(run.photos.train)
    if recipe.options.refit:
        network, learned = run.refit.best_network(), len(run.refit.photos.train)
    divide_logits(network.out, temperature)
    metrics = {
        "accuracy": {
            "top1": round(scored.top(1), 6),
            "top5": round(scored.top(5), 6),
            "photos": len(scored.truth),
        },
        "temperature": round(temperature, 6),
        "input_size": {"learned": recipe.options.size, "exported": size},
        "learned_from": {"photos": learned, "held_out_too": recipe.options.refit},
    }
    export(network, _card(recipe, run, metrics), target)
    return target, metrics


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


def _measure(network: MobileNetV2, recipe: Recipe, samples: Sequence[Sample]) -> Scored:
    """Export the uncalibrated network to a temporary bundle and classify the held-out photos."""
    name = model_name(recipe.scale)
    card = Card(name, recipe.transform_ops, recipe.classes, {}, recipe.srgb)
    with tempfile.TemporaryDirectory(prefix="measured-") as temporary:
        export(network, card, Path(temporary) / "bundle")
        bundle = load_bundle(Path(temporary) / "bundle")
        engine = Engine(bundle, threads=granted_cores())
        paths = [sample.path for sample in samples]
        answers = classify(paths, bundle, engine, recipe.options.max_pixels)
        return evaluate(bundle, samples, answers, skip_broken=False).result
