"""`weights pack` and `weights pull`."""

import re
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.errors import StartupError, command
from app.settings import read_settings


def pack(
    model_dir: Annotated[
        Path | None,
        typer.Argument(help="Directory of the model bundle; by default CLASSIFIER_MODEL_DIR"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The tar file; by default NAME-SHA256.tar")
    ] = None,
) -> None:
    """Write a bundle to a tar file, byte for byte the same each time."""
    from app.delivery import archive
    from app.model.bundle import load_bundle, sha256

    bundle = load_bundle(read_settings(model_dir=model_dir).model_dir)
    name = re.sub(r"[^\w.-]+", "-", bundle.name, flags=re.ASCII)
    file = output or Path(f".{name}.tar")
    archive.pack(bundle, file)
    digest = sha256(file)
    if not output:
        # The version alone would not do: bundles for two input sizes have the same weights.
        file = file.rename(f"{name}-{digest[:12]}.tar")
    url = f"https://HOST/{file.name}"
    print(f"packed {file}: {file.stat().st_size} bytes, SHA-256 {digest}")
    print("Put it on a web server. Then this command fetches it:")
    print(command("weights", "pull", url, "--sha256", digest, "--to", f"weights/{name}"))
    print("On Kubernetes, this is the value for k8s/components/model-pull:")
    print(f"MODEL_URL={url}#sha256={digest}")


def pull(
    url: Annotated[str, typer.Argument(help="https://...; it may end with #sha256=HEX")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Path that then leads to the bundle")],
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="SHA-256 of the file, from `weights pack`")
    ] = None,
    max_bytes: Annotated[int, typer.Option(min=1, help="Largest file to fetch")] = 1_000_000_000,
) -> None:
    """Fetch a packed bundle, check its hash, and let DIR lead to the bundle.

    Nothing is fetched if this bundle is there already. A broken download is continued.
    """
    # The first process of a container has no default handler for SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    from app.delivery import pull as delivered

    url, _, told = url.partition("#sha256=")
    if sha256 and told and sha256.lower() != told.lower():
        raise StartupError("the URL and --sha256 name different hashes")
    if not (sha256 or told):
        raise StartupError("name the hash with --sha256 HEX, or end the URL with #sha256=HEX")
    bundle = delivered.pull(url, sha256 or told, to, max_bytes, _tell)
    print(f"{to} leads to {bundle.name}, version {bundle.version}")


def _tell(line: str) -> None:
    # A log is read while the download goes on.
    print(line, file=sys.stderr, flush=True)
