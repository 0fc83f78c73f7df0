"""A run -> a bundle: its best network, measured and calibrated on the photos held out."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.host import granted_cores
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.model.offline import classify
from app.training.data.dataset import Sample
from app.training.evaluation.accuracy import Scored
from app.training.evaluation.evaluate import evaluate
from app.training.evaluation.temperature import fit_temperature
from app.training.network.export import Card, check_place, export
from app.training.network.folding import divide_logits
from app.training.network.mobilenetv2 import MobileNetV2
from app.training.options import Recipe
from app.training.run.folder import Run
from app.training.weights.origins import model_name


def deliver(folder: Path, directory: Path | None = None) -> tuple[Path, dict[str, Any]]:
    """Export the best network of the run in `folder`; return the bundle's place and its figures.

    What is measured is a bundle through the code that serves; the temperature is then divided into
    the last layer, which changes scores but not their order.

    Raises:
        StartupError: it is no run's folder, the place holds something else, a photo held out is
            gone, or the bundle does not answer as the network does.
    """
    run, place = Run(folder), directory or folder / "bundle"
    check_place(place)
    recipe, network = run.recipe, run.best_network()
    measured = _measure(network, recipe, run.photos.validation)
    logits = np.log(np.maximum(measured.scores, np.finfo(np.float32).tiny))
    temperature = fit_temperature(logits, measured.truth)
    divide_logits(network.out, temperature)
    figures = {
        "accuracy": {
            "top1": round(measured.top(1), 6),
            "top5": round(measured.top(5), 6),
            "photos": len(measured.truth),
        },
        "temperature": round(temperature, 6),
    }
    export(network, _card(recipe, run, figures), place)
    return place, figures


def _card(recipe: Recipe, run: Run, figures: dict[str, Any]) -> Card:
    origin = {key: value for key, value in recipe.origin.items() if key != "accuracy"}
    provenance = {
        "source": f"trained here, run {run.folder.resolve().name}",
        "started_from": origin,
        **figures,
        "training": recipe.options.model_dump(exclude={"max_pixels", "workers"}),
    }
    return Card(model_name(recipe.scale), recipe.transform_ops, recipe.classes, provenance)


def _measure(network: MobileNetV2, recipe: Recipe, samples: Sequence[Sample]) -> Scored:
    """Export the network as it is and ask the engine for the photos held out."""
    card = Card(model_name(recipe.scale), recipe.transform_ops, recipe.classes, {})
    with tempfile.TemporaryDirectory(prefix="measured-") as temporary:
        export(network, card, Path(temporary) / "bundle")
        bundle = load_bundle(Path(temporary) / "bundle")
        engine = Engine(bundle, threads=granted_cores())
        paths = [sample.path for sample in samples]
        answers = classify(paths, bundle, engine, recipe.options.max_pixels)
        return evaluate(bundle, samples, answers, skip_broken=False).result
