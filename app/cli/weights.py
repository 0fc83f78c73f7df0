"""`weights list|build|import|onnx` and `summary`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.errors import StartupError
from app.settings import read_settings

weights = typer.Typer(no_args_is_help=True, help="Fetch, convert and list weights.")

Labels = Annotated[Path | None, typer.Option(help="A class name a line; else ImageNet's 1000")]
Output = Annotated[Path | None, typer.Option(help="The bundle's place; else below weights/")]


@weights.command(name="list")
def list_weights() -> None:
    """Show the pinned origins and which are built."""
    from app.training.weights.sources import WEIGHTS, read_sources

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
    from app.training.weights.build import build, build_paddleclas

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
    from app.training.weights.build import import_file

    print(f"built {import_file(file, labels, output)}")


@weights.command()
def onnx(
    model_dir: Annotated[
        Path | None, typer.Argument(help="The bundle; else CLASSIFIER_MODEL_DIR")
    ] = None,
) -> None:
    """Add to a bundle what ONNX Runtime needs, checked against Paddle's answers."""
    from app.training.network.onnx import add_onnx

    print(f"built {add_onnx(read_settings(model_dir=model_dir).model_dir)}")


def summary(
    scale: Annotated[float, typer.Option(min=1 / 16, help="Width multiplier")] = 1.0,
    classes: Annotated[int, typer.Option(min=1, help="Classes")] = 1000,
    size: Annotated[int, typer.Option(min=32, help="Side of the input in pixels")] = 224,
) -> None:
    """Print the network's layers, shapes, parameters and multiply-adds."""
    from app.training.network.summary import print_summary

    print_summary(scale, classes, size, Console())
