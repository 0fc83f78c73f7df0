"""The command line, a file for each family of commands."""

import signal
import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from app import __version__
from app.cli.bench import bench_efficiency, engines, load_server
from app.cli.bulk import classify
from app.cli.data import dataset
from app.cli.evaluation import evaluate
from app.cli.options import examples
from app.cli.serving import predict, serve
from app.cli.terminal import Timed
from app.cli.training import export, train
from app.cli.weights import summary, weights
from app.errors import BundleError, ServiceError, StartupError, Stopped

BUNDLE = "runs/photos-1/bundle"


class _Program(TyperGroup):
    """The group of all commands. Ctrl-C ends each of them without a word of error."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  (typer does not export click's classes)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Stopped(signal.SIGINT) from error


app = typer.Typer(
    cls=_Program,
    no_args_is_help=True,
    add_completion=False,
    epilog=examples("serve", "predict --help"),
)
app.command(epilog=examples("serve", f"serve --port 8001 --model-dir {BUNDLE}"))(serve)
app.command(epilog=examples("predict docs/cat.jpg", "predict photos --json"))(predict)
app.command(epilog=examples("classify photos --output answers.csv"))(classify)
app.command(cls=Timed, epilog=examples("train photos", "train --resume runs/photos-1"))(train)
app.command(cls=Timed, epilog=examples("export runs/photos-1"))(export)
app.command(
    cls=Timed,
    epilog=examples(
        f"evaluate {BUNDLE} photos --output page",
        "evaluate old/bundle new/bundle photos",
    ),
)(evaluate)
app.command(epilog=examples("summary", "summary --scale 0.5 --classes 17"))(summary)
app.command(name="bench", epilog=examples("bench", "bench --sweep --p99-ms 500"))(load_server)
app.command(epilog=examples("bench-efficiency", "bench-efficiency --rounds 1"))(bench_efficiency)
app.command(epilog=examples("engines", f"engines {BUNDLE} --photos photos"))(engines)
app.add_typer(dataset, name="dataset")
app.add_typer(weights, name="weights")


def _print_version(asked: bool) -> None:
    if asked:
        print(f"photo-classifier {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """What is in this photo? MobileNetV2 on PaddlePaddle."""


def main() -> None:
    """Run the command line. A known failure prints one line and gives exit code 1.

    After Ctrl-C the exit code is 130.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        # A file name that is not UTF-8 is printed with \x escapes, so that JSON stays valid.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except Stopped as stopped:
        print(str(stopped) or "stopped", file=sys.stderr)
        # This is what a shell says of a program that a signal has ended.
        sys.exit(128 + stopped.signal)
    except (BundleError, ServiceError, StartupError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
