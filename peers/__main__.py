"""`python -m peers`: measure this service and its peers, print a table and a JSON document."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.bench.load_test import run_loop
from app.errors import StartupError
from app.settings import PREFIX
from peers.comparison import Options, compare, table
from peers.servers import SERVERS


def main(  # noqa: PLR0913, PLR0917  (each parameter is a command line option)
    only: Annotated[
        list[str] | None, typer.Option(help="Measure only this server; may be repeated")
    ] = None,
    engine: Annotated[str, typer.Option(help="The engine, as in CLASSIFIER_ENGINE")] = "paddle",
    model_dir: Path = Path("weights/MobileNetV2_x1_0_keras"),
    images: Annotated[Path | None, typer.Option(help="A folder of photos")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Clients of the closed loop")] = 32,
    seconds: Annotated[float, typer.Option(min=1, help="Measured seconds of each run")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the result is their median")] = 3,
) -> None:
    """Compare the servers on this machine, which should run nothing else meanwhile."""
    environment = {
        f"{PREFIX}ENGINE": engine,
        f"{PREFIX}MODEL_DIR": str(model_dir),
        f"{PREFIX}DRAIN_DELAY_S": "0",
        f"{PREFIX}API_KEYS": "",
        f"{PREFIX}THREADS_PER_WORKER": "1",
    }
    names = only or list(SERVERS)
    options = Options(environment, names, images, concurrency, seconds, rounds)
    try:
        document = run_loop(compare(options))
    except StartupError as error:
        raise SystemExit(str(error)) from error
    Console().print(table(document))
    print(json.dumps({"engine": engine, "concurrency": concurrency, **document}))


if __name__ == "__main__":
    typer.run(main)
