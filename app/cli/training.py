"""`train` and `export`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.errors import StartupError, command
from app.settings import read_settings

if TYPE_CHECKING:
    from app.training.options import Options

Epochs = Annotated[
    int, typer.Option(min=0, help="With all that learns; none where --freeze is all")
]


def train(  # noqa: PLR0913, PLR0917  (an option each)
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="train/ and test/ (or val/), or classes")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="RUN", help="Else below runs/")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="A class name a line, where a list file has numbers only")
    ] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with this")] = None,
    weights: Annotated[
        str, typer.Option(help="none, a name of `weights list`, a .pdparams or .h5")
    ] = "auto",
    scale: Annotated[float, typer.Option(help="Width multiplier")] = 1.0,
    size: Annotated[int, typer.Option(help="Side of the input, a multiple of 32")] = 224,
    freeze: Annotated[
        str,
        typer.Option(
            help="none, all (but the classifier), or how many of conv1, 17 blocks, conv9; "
            "auto: 17 on CPU, none on GPU"
        ),
    ] = "auto",
    epochs: Epochs = 10,
    warmup_epochs: Annotated[
        int, typer.Option(help="Of the classifier alone, before; none from scratch")
    ] = 15,
    batch_size: Annotated[int, typer.Option(help="Photos a step")] = 32,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Highest rate, tenfold for the classifier alone; else 0.0003, from scratch 0.002"
        ),
    ] = None,
    loss: Annotated[Literal["ce", "poly1"], typer.Option(help="Cross-entropy or Poly-1")] = "ce",
    epsilon: Annotated[float, typer.Option(help="Of Poly-1")] = 1.0,
    smoothing: Annotated[float, typer.Option(help="Of labels")] = 0.1,
    class_weights: Annotated[
        Literal["none", "balanced"], typer.Option(help="balanced: rare classes count as much")
    ] = "none",
    weight_decay: Annotated[float, typer.Option(help="AdamW's, on weights of layers")] = 1e-4,
    augment: Annotated[bool, typer.Option(help="Random parts of photos, mirrored")] = True,
    min_area: Annotated[float, typer.Option(help="The smallest part that is seen")] = 0.35,
    ema: Annotated[float, typer.Option(help="Decay of the moving average; 0: none")] = 0.98,
    patience: Annotated[int, typer.Option(help="Stop after so many epochs without a best")] = 10,
    holdout: Annotated[float, typer.Option(help="Share held out where DIR has no test/")] = 0.2,
    broken: Annotated[
        Literal["skip", "fail"], typer.Option(help="What to do with what cannot be read")
    ] = "skip",
    seed: Annotated[int, typer.Option(help="Of all that is drawn by lot")] = 0,
    device: Annotated[Literal["cpu", "gpu"], typer.Option(help="Where to learn")] = "cpu",
    amp: Annotated[bool, typer.Option(help="Mixed precision, on GPU")] = False,
    workers: Annotated[int | None, typer.Option(help="Processes that read; else by cores")] = None,
) -> None:
    r"""Train on labelled photos; RUN gets weights, metrics, curves and a report.

    Ctrl-C saves. The last line is a JSON document. With several GPUs:
    PYTHONPATH=. .venv/bin/python -m paddle.distributed.launch \
    app/__main__.py train DIR --output RUN
    """
    from app.training import train as training
    from app.training.data.class_names import read_labels
    from app.training.options import Options

    if resume:
        if given := _given(context) - {"resume"}:
            raise StartupError(f"--resume goes on with the run's own choices: no {min(given)}")
        run, place = training.resume(resume)
    elif data is None:
        raise StartupError(f"which photos? {command('train', 'DIR')}")
    else:
        chosen = {
            name: context.params[name] for name in Options.model_fields.keys() & context.params
        }
        chosen["max_pixels"] = read_settings().max_pixels
        options = _checked(chosen)
        _check_epochs(options, _given(context))
        names = read_labels(labels) if labels else None
        run, place = training.train(data, options, output, names)
    print(f"export it: {command('export', run.folder)}")
    best = place.best or {}
    figures = {name: round(best[name], 6) for name in ("val_top1", "val_top5", "val_loss")}
    print(json.dumps({"run": str(run.folder), "epochs": len(place.rows), **figures}))


def _given(context: typer.Context) -> set[str]:
    """Return the names of what was typed, not left at its default."""
    source = context.get_parameter_source
    return {name for name in context.params if getattr(source(name), "name", "") == "COMMANDLINE"}


def _checked(chosen: dict[str, Any]) -> "Options":
    from pydantic import ValidationError

    from app.training.options import Options

    try:
        return Options(**chosen)
    except ValidationError as error:
        first = error.errors()[0]
        raise StartupError(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from error


def _check_epochs(options: "Options", given: set[str]) -> None:
    """Raise StartupError where epochs are asked for of a phase that there is not."""
    from app.training.learning.phases import phases

    classifier_alone = [phase.cached for phase in phases(options)]
    if "epochs" in given and options.epochs and all(classifier_alone):
        raise StartupError(
            "with --freeze all the classifier learns alone: --warmup-epochs says how long"
        )
    if "warmup_epochs" in given and options.warmup_epochs and not any(classifier_alone):
        raise StartupError("from scratch all learns at once: --epochs says how long")


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="What `train` has made")],
    output: Annotated[Path | None, typer.Option(help="The bundle's place; else RUN/bundle")] = None,
) -> None:
    """Make a bundle of a run's best network, measured and calibrated on the photos held out.

    The last line is a JSON document.
    """
    from app.training.export_run import deliver

    place, figures = deliver(run, output)
    print(f"serve it: {command('serve', '--model-dir', place)}")
    print(json.dumps({"bundle": str(place), **figures}))
