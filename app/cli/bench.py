"""`bench` and `bench-efficiency`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli.options import ModelDir
from app.settings import PREFIX, read_settings, split_keys

Images = Annotated[
    Path | None,
    typer.Option(help="A folder of photos, perhaps with labels.csv; else some of scikit-image"),
]


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
    api_key: Annotated[
        str, typer.Option(envvar=f"{PREFIX}API_KEYS", help="Bearer token; of several the first")
    ] = "",
) -> None:
    """Load a running server; check and time every answer. The exit code is 1 if one is wrong.

    The last line is a JSON document.
    """
    from app.bench.load.generator import LoadPlan
    from app.bench.load_test import Options, bench

    plan = LoadPlan(concurrency, rate, seconds, warmup_seconds, seed)
    bound_ms = p99_ms if sweep else None
    key = next(iter(split_keys(api_key)), None)
    document = bench(Options(url, images, plan, deadline_ms, bound_ms, html, key), Console())
    print(json.dumps(document))
    sys.exit(document["wrong"] > 0)


def bench_efficiency(
    model_dir: ModelDir = None,
    images: Images = None,
    megapixels: Annotated[
        float, typer.Option(min=0.01, max=50, help="Without --images: the pictures' size")
    ] = 0.1875,
    concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Clients")] = 32,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Of load in a round")] = 8,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Their medians count")] = 3,
) -> None:
    """Start a server and compare it with what decoding and the network alone cost.

    The last line is a JSON document.
    """
    from app.bench.efficiency import Options, measure_efficiency

    settings = read_settings(model_dir=model_dir)
    options = Options(images, megapixels, concurrency, seconds, rounds)
    document = measure_efficiency(settings, options, Console())
    print(json.dumps(document))
    sys.exit(document["wrong"] > 0)
