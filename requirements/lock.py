"""Resolves pyproject.toml into the locked requirements, with hashes and without an index's URL.

`make lock` runs this script. Most of the sets contain all of `serve.txt` with the same versions.
Some are special:

- `otel.txt` contains all of `heif.txt`, because an image that sends traces reads HEIC too.
  `grpc.txt` contains all of `otel.txt`, because an image that speaks gRPC may send traces.
- `*-onnx.txt` and `*-openvino.txt` are for serving with one of these, so they leave out Paddle.
- `paddleclas.txt` is for an environment of its own on Python 3.11, because PaddleClas pins old
  versions.
- `build.txt` has the tool that builds the packages of a release, and nothing else.
- `contract.txt` has the tools that generate clients from `/openapi.json`, and nothing else.
- `peers/*.txt` are for the servers that this one is compared with, each in its own environment.

A test checks that all sets have the same versions of the engines' libraries, NumPy and Pillow.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def lock(name: str, *arguments: str, source: str = "", project: bool = True) -> None:
    """Lock one set of packages: those of `source`, one per line, and with `project` our own.

    Versions that the file has already are kept, unless `--upgrade` is given.
    """
    file = HERE / f"{name}.txt"
    command = ["uv", "pip", "compile", *(["pyproject.toml"] if project else []), "-"]
    command += ["--quiet", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--python-version", "3.11", *arguments]
    command += ["--output-file", str(file), *sys.argv[1:]]
    subprocess.run(command, input=source, check=True, capture_output=True, text=True)
    print(file)


# What an image serves with, and the extras that belong to it.
_SERVING = {
    "serve": (),
    "heif": ("heif",),
    "otel": ("heif", "otel"),
    "grpc": ("heif", "otel", "grpc"),
}

lock("serve", "--universal")
same = ("--universal", "--constraint", "requirements/serve.txt")
lock("weights", *same, "--extra", "weights")
lock("onnx", *same, "--extra", "weights", "--extra", "onnx")
lock("openvino", *same, "--extra", "weights", "--extra", "openvino")
lock("heif", *same, "--extra", "heif")
lock("otel", *same, "--extra", "heif", "--extra", "otel")
with_otel = ("--universal", "--constraint", "requirements/otel.txt")
lock("grpc", *with_otel, "--extra", "heif", "--extra", "otel", "--extra", "grpc")
lock("train", *same, "--extra", "weights", "--extra", "train")
lock("visualdl", *same, "--extra", "weights", "--extra", "train", "--extra", "visualdl")
lock("bulk", *same, "--extra", "weights", "--extra", "bulk")
lock("ray", *same, "--extra", "weights", "--extra", "bulk", "--extra", "ray")
extras = ("weights", "onnx", "openvino", "heif", "otel", "grpc", "train", "bulk", "ray", "visualdl")
lock("dev", *same, *(f"--extra={extra}" for extra in (*extras, "dev")))
# Paddle, and what only Paddle needs.
paddle = ("paddlepaddle", "networkx", "opt-einsum", "safetensors", "setuptools")
without_paddle = [f"--no-emit-package={package}" for package in paddle]
for engine in ("onnxruntime", "openvino"):
    for name, extras in _SERVING.items():
        chosen = [f"--extra={extra}" for extra in extras]
        lean = f"{name}-{engine.removesuffix('runtime')}"
        lock(lean, *same, *without_paddle, *chosen, source=f"{engine}\n")
extras = ("weights", "openvino", "paddleclas")
paddleclas = ("--python-platform", "linux", *(f"--extra={extra}" for extra in extras))
lock("paddleclas", *paddleclas, source="pytest\n")
for peer in ("bentoml", "litserve", "mosec", "ray[serve]"):
    source = f"{peer}\nonnxruntime\nopenvino\n"
    lock(f"peers/{peer.removesuffix('[serve]')}", "--python-platform", "linux", source=source)
# The tool that builds the packages of a release.
lock("build", "--universal", source="hatchling\n", project=False)
lock("contract", "--universal", source="mypy\nopenapi-python-client\n", project=False)
