"""`bench`, `bench-efficiency` and `engines`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli.options import ModelDir
from app.settings import PREFIX, read_settings, split_words

Images = Annotated[
    Path | None,
    typer.Option(
        help="Folder of photos, with labels.csv if their classes are known; "
        "by default pictures that scikit-image ships"
    ),
]


Rounds = Annotated[
    int, typer.Option(min=1, max=100, help="Number of rounds; the result is their median")
]


def load_server(  # noqa: PLR0913, PLR0917  (typer needs a parameter for each option)
    url: Annotated[str, typer.Option(help="URL of the server")] = "http://127.0.0.1:8000",
    images: Images = None,
    concurrency: Annotated[
        int,
        typer.Option(
            min=1, max=4096, help="Clients, each with one request at a time (closed loop)"
        ),
    ] = 32,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, help="Requests/s at random times, instead of clients (open loop)"),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Length of the measurement, in seconds")
    ] = 10,
    warmup_seconds: Annotated[
        float, typer.Option(min=0, max=600, help="Length of the same load before the measurement")
    ] = 2,
    deadline_ms: Annotated[
        int | None, typer.Option(min=1, help="Deadline to send with each photo, in milliseconds")
    ] = None,
    sweep: Annotated[
        bool, typer.Option(help="Search the highest rate that the server answers without errors")
    ] = False,
    p99_ms: Annotated[
        float,
        typer.Option(
            min=1, help="With --sweep: a rate counts only if 99 % of the answers are faster"
        ),
    ] = 500,
    html: Annotated[Path | None, typer.Option(help="Write an HTML report to this file")] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the random arrivals and of the photos' order")
    ] = 0,
    api_key: Annotated[
        str, typer.Option(envvar=f"{PREFIX}API_KEYS", help="Bearer token; the first one of a list")
    ] = "",
) -> None:
    """Load a running server; check and time every answer. The exit code is 1 if one is wrong.

    The last line is a JSON document.
    """
    from app.bench.load.generator import LoadPlan
    from app.bench.load_test import Options, bench

    plan = LoadPlan(concurrency, rate, seconds, warmup_seconds, seed)
    bound_ms = p99_ms if sweep else None
    key = next(iter(split_words(api_key)), None)
    document = bench(Options(url, images, plan, deadline_ms, bound_ms, html, key), Console())
    print(json.dumps(document))
    sys.exit(document["wrong"] > 0)


def bench_efficiency(
    model_dir: ModelDir = None,
    images: Images = None,
    megapixels: Annotated[
        float,
        typer.Option(min=0.01, max=50, help="Size of scikit-image's pictures, in megapixels"),
    ] = 0.1875,
    concurrency: Annotated[
        int, typer.Option(min=1, max=4096, help="Clients, each with one request at a time")
    ] = 32,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Length of the load in each round, in seconds")
    ] = 8,
    rounds: Rounds = 3,
) -> None:
    """Compare the speed of a server and of `classify` with decoding and the network alone.

    The last line is a JSON document.
    """
    from app.bench.efficiency import Options, measure_efficiency

    settings = read_settings(model_dir=model_dir)
    options = Options(images, megapixels, concurrency, seconds, rounds)
    document = measure_efficiency(settings, options, Console())
    print(json.dumps(document))
    sys.exit(document["wrong"] > 0)


def engines(
    model_dir: Annotated[
        Path | None,
        typer.Argument(
            metavar="BUNDLE",
            help="Directory of the model bundle; by default CLASSIFIER_MODEL_DIR",
        ),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of photos; by default those of scikit-image"),
    ] = None,
    rounds: Rounds = 3,
) -> None:
    """Compare the engines that run a bundle on this machine, and recommend one.

    The last line is a JSON document.
    """
    from app.bench.engines import Options, compare_engines

    settings = read_settings(model_dir=model_dir)
    print(json.dumps(compare_engines(settings, Options(photos, rounds), Console())))
