"""Resolve pyproject.toml anew into the locked requirements, with hashes and no index's name.

Run by `make lock`. Every set is a superset of `serve.txt` with the very same versions, but for two:
`serve-onnx.txt` serves with ONNX Runtime where a bundle has its file, and leaves out Paddle;
PaddleClas's old pins want an environment of their own, on Python 3.11. So do the servers
that ours is compared with; a test holds all to the same Paddle, ONNX Runtime, NumPy and Pillow.
"""

import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def lock(name: str, *arguments: str, source: str = "") -> None:
    """Resolve one set; `source` has further requirements, a line each."""
    command = ["uv", "pip", "compile", "pyproject.toml", "-", "--quiet", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--python-version", "3.11", *arguments]
    locked = subprocess.run(command, input=source, check=True, capture_output=True, text=True)
    (HERE / f"{name}.txt").write_text(locked.stdout)
    print(f"requirements/{name}.txt")


lock("serve", "--universal")
same = ("--universal", "--constraint", "requirements/serve.txt")
lock("weights", *same, "--extra", "weights")
lock("onnx", *same, "--extra", "weights", "--extra", "onnx")
lock("otel", *same, "--extra", "otel")
lock("train", *same, "--extra", "weights", "--extra", "train")
lock("visualdl", *same, "--extra", "weights", "--extra", "train", "--extra", "visualdl")
extras = ("weights", "onnx", "otel", "train", "visualdl", "dev")
lock("dev", *same, *(f"--extra={extra}" for extra in extras))
lock("serve-onnx", *same, "--no-emit-package", "paddlepaddle", source="onnxruntime\n")
own = ("--python-platform", "linux", "--extra", "weights", "--extra", "paddleclas")
lock("paddleclas", *own, source="pytest\n")
for peer in ("bentoml", "litserve", "mosec", "ray[serve]"):
    source = f"{peer}\nonnxruntime\n"
    lock(f"peers/{peer.removesuffix('[serve]')}", "--python-platform", "linux", source=source)
