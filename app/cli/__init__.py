"""The command line: `python -m app --help`. One file a family of commands."""

import sys
from io import TextIOWrapper

import typer

from app.cli.bench import bench_efficiency, load_server
from app.cli.data import dataset, evaluate
from app.cli.serving import predict, serve
from app.cli.training import export, train
from app.cli.weights import summary, weights
from app.errors import BundleError, ServiceError, StartupError

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.command()(serve)
app.command()(predict)
app.command()(train)
app.command()(export)
app.command()(evaluate)
app.command()(summary)
app.command(name="bench")(load_server)
app.command()(bench_efficiency)
app.add_typer(dataset, name="dataset")
app.add_typer(weights, name="weights")


@app.callback()
def program() -> None:
    """What is in this photo? MobileNetV2 on PaddlePaddle."""


def main() -> None:
    """Run the command line; a known failure is one line and exit code 1."""
    if isinstance(sys.stdout, TextIOWrapper):  # bytes of names that are no UTF-8, as JSON has them
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except (BundleError, ServiceError, StartupError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
