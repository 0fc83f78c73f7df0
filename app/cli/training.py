"""`train` and `export`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.options import repeated
from app.cli.terminal import tell
from app.errors import StartupError, command
from app.settings import read_settings

if TYPE_CHECKING:
    from app.training.options import Options


def train(  # noqa: PLR0913, PLR0917  (typer needs a parameter for each option)
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="Folder of class folders, or of train/ and test/ (or val/) with them",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Folder of the run; by default a new one below runs/"),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="File with one class name on each line, for list files with numbers only"
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Continue the run in this folder; with --epochs it gets more epochs, "
            "also if it has ended",
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            help="First weights: a name from `weights list`, a .pdparams or .h5 file, none for "
            "random weights, or auto for the ImageNet weights of --scale"
        ),
    ] = "auto",
    scale: Annotated[float, typer.Option(help="Width multiplier of the network")] = 1.0,
    size: Annotated[
        int,
        typer.Option(
            help="Width and height of the input during training in pixels, a multiple of 32; the "
            "export may have another"
        ),
    ] = 224,
    freeze: Annotated[
        str,
        typer.Option(
            help="Layers that do not learn: none, all (all but the classifier), or a number that "
            "counts conv1, 17 blocks and conv9 from the input; auto is none on GPU, and on CPU 14, "
            "or 17 with few photos"
        ),
    ] = "auto",
    epochs: Annotated[
        int,
        typer.Option(
            help="Epochs of fine-tuning, in which all unfrozen layers learn; "
            "with 0 only the logistic regression learns"
        ),
    ] = 12,
    minutes: Annotated[
        float | None,
        typer.Option(help="Time for the whole run: fine-tuning goes as deep and as long as it can"),
    ] = None,
    refit: Annotated[
        bool,
        typer.Option(
            "--refit", help="Learn once more from all photos, with the number of epochs found"
        ),
    ] = False,
    batch_size: Annotated[int, typer.Option(help="Photos in each training step")] = 32,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Highest learning rate, by default 0.00015, or 0.002 with --weights none"
        ),
    ] = None,
    loss: Annotated[
        Literal["ce", "poly1"], typer.Option(help="Loss: cross-entropy (ce) or Poly-1 (poly1)")
    ] = "ce",
    epsilon: Annotated[float, typer.Option(help="Epsilon of the Poly-1 loss")] = 1.0,
    smoothing: Annotated[float, typer.Option(help="Label smoothing")] = 0.1,
    class_weights: Annotated[
        Literal["auto", "balanced", "none"],
        typer.Option(
            help="balanced: every class counts the same, in the loss and in the choice of the best "
            "epoch; none: every photo does; auto: balanced if a class has more than three times as "
            "many photos as another"
        ),
    ] = "auto",
    weight_decay: Annotated[
        float, typer.Option(help="Weight decay of AdamW, on the weights of layers only")
    ] = 1e-4,
    augment: Annotated[
        bool, typer.Option(help="Train on random crops of the photos, mirrored at random")
    ] = True,
    min_area: Annotated[
        float, typer.Option(help="Smallest area of a random crop, as a share of the photo")
    ] = 0.15,
    ema: Annotated[
        float, typer.Option(help="Decay of the weights' moving average (EMA); 0 turns it off")
    ] = 0.98,
    patience: Annotated[
        int, typer.Option(help="Stop after this number of epochs without a new best result")
    ] = 10,
    holdout: Annotated[
        float, typer.Option(help="Share of photos to hold out if DIR has no test/ or val/")
    ] = 0.2,
    broken: Annotated[
        Literal["skip", "fail"],
        typer.Option(help="Skip photos that cannot be read, or fail before the training"),
    ] = "skip",
    seed: Annotated[
        int, typer.Option(help="Seed of every random choice: hold-out, order of photos, crops")
    ] = 0,
    device: Annotated[Literal["cpu", "gpu"], typer.Option(help="Device to train on")] = "cpu",
    amp: Annotated[bool, typer.Option(help="Use mixed precision, on GPU only")] = False,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that read photos; by default one for each core, at most 8"),
    ] = None,
) -> None:
    """Train on labelled photos. The folder RUN gets weights, metrics, curves and a report.

    Ctrl-C saves the run, and --resume continues it.
    The last line is a JSON document. With several GPUs, or on several machines:

    .venv/bin/python -m paddle.distributed.launch app/__main__.py train DIR

    docs/train.md explains it.
    """
    from app.training import train as training
    from app.training.data.class_names import read_labels
    from app.training.learning.choice import recall_sentence
    from app.training.options import Options

    if resume:
        given = _given(context)
        if others := given - {"resume", "epochs"}:
            option = "DIR" if "data" in others else "--" + min(others).replace("_", "-")
            raise StartupError(f"--resume goes on with the run's own options: leave out {option}")
        run, position = training.resume(resume, epochs if "epochs" in given else None)
    elif data is None:
        raise StartupError(f"which photos? {command('train', 'DIR')}")
    else:
        chosen = {
            name: context.params[name] for name in Options.model_fields.keys() & context.params
        }
        chosen["max_pixels"] = read_settings().max_pixels
        options = _checked(chosen)
        if options.freeze in ("all", "backbone") and "epochs" in _given(context):
            raise StartupError("with --freeze all there is no fine-tuning: leave out --epochs")
        classes = read_labels(labels) if labels else None
        repeat = repeated(context, "output")
        run, position = training.train(data, options, output, classes, repeat)
    if not training.leads():
        return
    tell(f"page: {run.folder / 'report.html'}")
    best = position.best or {}
    if "val_recall" in best:
        print(f"held out, best epoch: {recall_sentence(best, run.photos)}")
    print(f"export it: {command('export', run.folder)}")
    names = ("val_top1", "val_top5", "val_recall", "val_loss")
    measured = {name: round(best[name], 6) for name in names if name in best}
    print(json.dumps({"run": str(run.folder), "epochs": len(position.rows), **measured}))


def _given(context: typer.Context) -> set[str]:
    """Return the names of the parameters that the user typed."""
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


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run of `train`")],
    output: Annotated[
        Path | None, typer.Option(help="Directory of the new bundle; by default RUN/bundle")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=32,
            max=1024,
            help="Width and height of the network's input in pixels, a multiple of 32; "
            "by default what was best on the held-out photos",
        ),
    ] = None,
) -> None:
    """Make a bundle of a run's best network, measured and calibrated on the held-out photos.

    The last line is a JSON document.
    """
    from app.training.export_run import deliver

    if size and size % 32:
        raise StartupError(f"--size {size}: the size must be a multiple of 32")
    directory, measured, recall = deliver(run, output, size)
    print(f"held out: {recall}")
    print(f"serve it: {command('serve', '--model-dir', directory)}")
    print(json.dumps({"bundle": str(directory), **measured}))
