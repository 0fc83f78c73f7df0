"""The command line: `python -m app --help`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from app.errors import BundleError, StartupError
from app.schemas import FileError, FilePrediction
from app.settings import read_settings

app = typer.Typer(no_args_is_help=True, add_completion=False)
weights = typer.Typer(no_args_is_help=True, help="Fetch, convert and list weights.")
app.add_typer(weights, name="weights")

ModelDir = Annotated[Path | None, typer.Option(help="The bundle; else CLASSIFIER_MODEL_DIR")]
Labels = Annotated[Path | None, typer.Option(help="A class name a line; else ImageNet's 1000")]
Images = Annotated[
    Path | None,
    typer.Option(help="A folder of photos, perhaps with labels.csv; else some of scikit-image"),
]
Output = Annotated[Path | None, typer.Option(help="The bundle's place; else below weights/")]


@app.callback()
def program() -> None:
    """What is in this photo? MobileNetV2 on PaddlePaddle."""


@app.command()
def serve(
    model_dir: ModelDir = None,
    host: Annotated[str | None, typer.Option(help="Address; else CLASSIFIER_HOST")] = None,
    port: Annotated[int | None, typer.Option(help="Port; else CLASSIFIER_PORT")] = None,
) -> None:
    """Serve predictions over HTTP."""
    from app import main

    main.serve(read_settings(model_dir=model_dir, host=host, port=port))


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(metavar="PHOTO|FOLDER...")],
    model_dir: ModelDir = None,
    top_k: Annotated[int, typer.Option(min=1, help="Classes to name for each photo")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON line for each photo")] = False,
) -> None:
    """Say what is in photos on disk. The exit code is 1 where one cannot be read."""
    from app import prediction
    from app.bundle import load_bundle
    from app.cores import granted_cores
    from app.engine import Engine

    photos = prediction.find_photos(paths)
    if not photos:
        raise StartupError("there is no photo in it")
    settings = read_settings(model_dir=model_dir)
    bundle = load_bundle(settings.model_dir)
    engine = Engine(bundle, settings.device, granted_cores(), settings.engine)
    outcomes = track(
        prediction.predict(photos, bundle, engine, top_k, settings.max_pixels),
        "Looking",
        len(photos),
        console=Console(stderr=True),
        transient=True,
    )
    table = Table("photo", "what", "score")
    failed = False
    for outcome in outcomes:
        failed |= isinstance(outcome, FileError)
        if as_json:
            print(outcome.model_dump_json())
        else:
            _add_rows(table, outcome)
    if not as_json:
        Console(markup=False, emoji=False).print(table)  # names of files and labels as they are
    sys.exit(failed)


@app.command()
def summary(
    scale: Annotated[float, typer.Option(min=1 / 16, help="Width multiplier")] = 1.0,
    classes: Annotated[int, typer.Option(min=1, help="Classes")] = 1000,
    size: Annotated[int, typer.Option(min=32, help="Side of the input in pixels")] = 224,
) -> None:
    """Print the network's layers, shapes, parameters and multiply-adds."""
    from app.training.summary import print_summary

    print_summary(scale, classes, size, Console())


@app.command(name="bench")
def load_server(  # noqa: PLR0913, PLR0917  (an option each)
    url: Annotated[str, typer.Option(help="The server")] = "http://127.0.0.1:8000",
    images: Images = None,
    concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Closed loop: clients")] = 32,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Open loop: requests/s")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Measured time")] = 10,
    warmup_seconds: Annotated[float, typer.Option(min=0, max=600, help="Before that")] = 2,
    deadline_ms: Annotated[int | None, typer.Option(min=1, help="Ask for it by header")] = None,
    sweep: Annotated[bool, typer.Option(help="Find the highest rate without errors")] = False,
    p99_ms: Annotated[float, typer.Option(min=1, help="Of a sweep: p99 stays below")] = 500,
    html: Annotated[Path | None, typer.Option(help="Write a report here")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of arrivals and the photos' order")] = 0,
) -> None:
    """Load a running server; check and time every answer. The exit code is 1 if one is wrong.

    The last line is a JSON document.
    """
    from app.bench.load import Plan
    from app.bench.run import Options, bench

    plan = Plan(concurrency, rate, seconds, warmup_seconds, seed)
    bound_ms = p99_ms if sweep else None
    document = bench(Options(url, images, plan, deadline_ms, bound_ms, html), Console())
    print(json.dumps(document))
    sys.exit(document["wrong"] > 0)


@app.command()
def bench_efficiency(
    model_dir: ModelDir = None,
    images: Images = None,
    concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Clients")] = 32,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Of load in a round")] = 8,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Their medians count")] = 3,
) -> None:
    """Start a server and compare it with what decoding and the network alone cost.

    The last line is a JSON document.
    """
    from app.bench.efficiency import Options, measure_efficiency

    settings = read_settings(model_dir=model_dir)
    options = Options(images, concurrency, seconds, rounds)
    document = measure_efficiency(settings, options, Console())
    print(json.dumps(document))
    sys.exit(document["wrong"] > 0)


@weights.command(name="list")
def list_weights() -> None:
    """Show the pinned origins and which are built."""
    from app.training.sources import WEIGHTS, read_sources

    table = Table("name", "what", "top-1", "top-5", "pinned", "built", box=None)
    for name, source in read_sources().items():
        built = (WEIGHTS / name / "inference.yml").exists()
        marks = ("yes" if flag else "no" for flag in (source.sha256, built))
        table.add_row(name, source.what, f"{source.top1:.1%}", f"{source.top5:.1%}", *marks)
    Console().print(table)


@weights.command(name="build")
def build_weights(
    name: Annotated[
        str, typer.Argument(help="From `weights list`, or paddleclas:NETWORK")
    ] = "MobileNetV2_x1_0_keras",
    params: Annotated[Path | None, typer.Option(help="Of NETWORK: its .pdparams")] = None,
    labels: Labels = None,
    output: Output = None,
) -> None:
    """Fetch weights and export them as a checked bundle."""
    from app.training.build import build, build_paddleclas

    if network := name.removeprefix("paddleclas:") if name.startswith("paddleclas:") else "":
        if params is None:
            raise StartupError(f"{name} needs its parameters: --params FILE")
        place = build_paddleclas(network, params, labels, output)
    else:
        place = build(name, output)
    print(f"built {place}")


@weights.command(name="import")
def import_weights(
    file: Annotated[Path, typer.Argument(help="PaddleClas's .pdparams or Keras's .h5")],
    labels: Labels = None,
    output: Output = None,
) -> None:
    """Export a local MobileNetV2 as a checked bundle."""
    from app.training.build import import_file

    print(f"built {import_file(file, labels, output)}")


@weights.command()
def onnx(
    model_dir: Annotated[
        Path | None, typer.Argument(help="The bundle; else CLASSIFIER_MODEL_DIR")
    ] = None,
) -> None:
    """Add to a bundle what ONNX Runtime needs, checked against Paddle's answers."""
    from app.training.onnx import add_onnx

    print(f"built {add_onnx(read_settings(model_dir=model_dir).model_dir)}")


def main() -> None:
    """Run the command line; a known failure is one line and exit code 1."""
    try:
        app()
    except (BundleError, StartupError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _add_rows(table: Table, outcome: FilePrediction | FileError) -> None:
    if isinstance(outcome, FileError):
        table.add_row(outcome.file, Text(outcome.detail, "red"), "")
    else:
        for rank, row in enumerate(outcome.predictions):
            table.add_row("" if rank else outcome.file, row.label, f"{row.score:.3f}")
    table.add_section()
