"""`weights list|build|import|adopt|onnx|openvino|quantize|unfamiliar|pack|pull` and `summary`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app import host
from app.cli.delivery import pack, pull
from app.cli.options import examples
from app.cli.terminal import Timed
from app.errors import StartupError
from app.settings import Int8Engine, read_settings

weights = typer.Typer(
    no_args_is_help=True,
    help="Fetch, convert and list weights; pack and pull bundles.",
    epilog=examples("weights list", "weights build MobileNetV2_x1_0_keras"),
)
weights.command(epilog=examples("weights pack", "weights pack runs/photos-1/bundle"))(pack)
weights.command(epilog=examples("weights pull URL --sha256 HEX --to weights/mine"))(pull)

_BUNDLE = "runs/photos-1/bundle"
# The share of photos that is held out where no folder says which.
_HELD_OUT = 0.2

Labels = Annotated[
    Path | None,
    typer.Option(help="File with one class name on each line; by default ImageNet's 1000 names"),
]
Output = Annotated[
    Path | None, typer.Option(help="Directory of the new bundle; by default below weights/")
]
ModelDir = Annotated[
    Path | None,
    typer.Argument(help="Directory of the model bundle; by default CLASSIFIER_MODEL_DIR"),
]


@weights.command(name="list", epilog=examples("weights list"))
def list_weights() -> None:
    """Show the origins of weights that `weights build` knows, and which of them are built."""
    from app.training.weights.sources import WEIGHTS, read_sources

    table = Table("name", "description", "top-1", "top-5", "pinned", "built", box=None)
    for name, source in read_sources().items():
        built = (WEIGHTS / name / "inference.yml").exists()
        marks = ("yes" if flag else "no" for flag in (source.sha256, built))
        table.add_row(name, source.what, f"{source.top1:.1%}", f"{source.top5:.1%}", *marks)
    Console().print(table)


@weights.command(
    name="build", cls=Timed, epilog=examples("weights build", "weights build --size 160")
)
def build_weights(
    name: Annotated[
        str, typer.Argument(help="Name from `weights list`, or paddleclas:NETWORK")
    ] = "MobileNetV2_x1_0_keras",
    params: Annotated[
        Path | None, typer.Option(help="With paddleclas:NETWORK: the .pdparams file of the network")
    ] = None,
    labels: Labels = None,
    output: Output = None,
    size: Annotated[
        int, typer.Option(min=32, max=1024, help="Width and height of the input, a multiple of 32")
    ] = 224,
) -> None:
    """Fetch weights and export them as a checked bundle."""
    from app.training.weights.build import build, build_paddleclas

    if size % 32:
        raise StartupError(f"the size must be a multiple of 32, but {size} is not")
    if network := name.removeprefix("paddleclas:") if name.startswith("paddleclas:") else "":
        if size != 224:
            raise StartupError("--size is for the names of `weights list` only")
        if params is None:
            raise StartupError(f"{name} needs its parameters: name the file with --params FILE")
        directory = build_paddleclas(network, params, labels, output)
    else:
        directory = build(name, output, size=size)
    print(f"built {directory}")


@weights.command(name="import", epilog=examples("weights import my.h5 --labels names.txt"))
def import_weights(
    file: Annotated[
        Path, typer.Argument(help="MobileNetV2 weights: .pdparams of PaddleClas or .h5 of Keras")
    ],
    labels: Labels = None,
    output: Output = None,
) -> None:
    """Export the weights of a local MobileNetV2 file as a checked bundle."""
    from app.training.weights.build import import_file

    print(f"built {import_file(file, labels, output)}")


@weights.command(
    epilog=examples(
        "weights adopt inference --config inference_cls.yaml",
        "weights adopt exported --to weights/mine",
    )
)
def adopt(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder that PaddleClas or PaddleX has exported to"),
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The network's YAML file of PaddleClas, for deployment or training; by default "
            "DIR/inference.yml",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with one class name on each line; by default the one that the YAML names",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Directory of a new bundle; by default DIR becomes one"),
    ] = None,
) -> None:
    """Add preprocessing, labels and golden answers to an exported network: a complete bundle."""
    from app.training.weights.adopt import adopt

    bundle, warning = adopt(directory, config, labels, to)
    if warning:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"adopted {bundle}")


@weights.command(epilog=examples("weights onnx", "weights onnx runs/photos-1/bundle"))
def onnx(model_dir: ModelDir = None) -> None:
    """Add inference.onnx for ONNX Runtime to a bundle, and compare its answers with Paddle's."""
    from app.training.network.onnx import add_onnx

    print(f"built {add_onnx(read_settings(model_dir=model_dir).model_dir)}")


@weights.command(epilog=examples("weights openvino", "weights openvino runs/photos-1/bundle"))
def openvino(model_dir: ModelDir = None) -> None:
    """Add inference.xml for OpenVINO to a bundle, and compare its answers with Paddle's."""
    from app.training.network.openvino import add_openvino

    print(f"built {add_openvino(read_settings(model_dir=model_dir).model_dir)}")


@weights.command(
    epilog=examples(
        "weights quantize --photos photos",
        "weights quantize --photos photos --float32 0",
    )
)
def quantize(
    model_dir: ModelDir = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of 50 photos or more like those that will be served; labels do not matter",
        ),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Labelled photos, none of them in --photos, on which to measure what 8 bits cost; "
            "by default, two halves of --photos test each other",
        ),
    ] = None,
    float32: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Leave the Nth convolution from the input in float32; repeatable; by default the "
            "first two, and 0 names none",
        ),
    ] = None,
    engine: Annotated[
        Int8Engine,
        typer.Option(help="Engine that shall run the network"),
    ] = "openvino-int8",
) -> None:
    """Add a network of 8 bits to a bundle, and say what it costs."""
    from app.training.quantization.quantize import FLOAT32_LAYERS, quantize

    if engine == "onnxruntime-int8" and not host.multiplies_bytes():
        print("warning: on this processor, the server will not start with it", file=sys.stderr)
    settings = read_settings(model_dir=model_dir)
    exact = FLOAT32_LAYERS if float32 is None else [number for number in float32 if number]
    file, cost = quantize(settings.model_dir, photos, test, settings.max_pixels, exact, engine)
    print(f"built {file}: {cost}")


@weights.command(epilog=examples(f"weights unfamiliar {_BUNDLE} photos"))
def unfamiliar(
    model_dir: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Directory of the model bundle")
    ],
    photos: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Photos of the bundle's classes: folder of class folders, or of train/ and test/ "
            "(or val/) with them, or list file. The network must not have learned from those in "
            "test/; without it, a fifth of the photos is held out",
        ),
    ],
    others: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Photos of other things, on which to measure how they are told"
        ),
    ] = None,
) -> None:
    """Let a bundle tell photos that show none of its classes. The last line is a JSON document."""
    from app.images.files import find_photos
    from app.model.bundle import load_bundle
    from app.training.data.holdout import read_divided
    from app.training.weights.unfamiliar import add_unfamiliar, measure_others

    max_pixels = read_settings(model_dir=model_dir).max_pixels
    labels = load_bundle(model_dir).labels or None
    strange = find_photos([others]) if others else []
    if others and not strange:
        raise StartupError(f"{others}: no photo was found in it")
    known = read_divided(photos, _HELD_OUT, 0, max_pixels, labels)
    fitted = add_unfamiliar(model_dir, known, max_pixels)
    document = {"bundle": str(model_dir), **fitted.document()}
    if strange:
        document |= measure_others(model_dir, strange, max_pixels, fitted)
    print(json.dumps(document, ensure_ascii=False))


def summary(
    scale: Annotated[float, typer.Option(min=1 / 16, help="Width multiplier of the network")] = 1.0,
    classes: Annotated[int, typer.Option(min=1, help="Number of classes")] = 1000,
    size: Annotated[
        int, typer.Option(min=32, help="Width and height of the input in pixels")
    ] = 224,
) -> None:
    """Print the network's layers, shapes, parameters and multiply-adds."""
    from app.training.network.summary import print_summary

    print_summary(scale, classes, size, Console())
