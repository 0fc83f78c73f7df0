"""`weights quantize`: a network of 8 bits added to a bundle, with a record of what it costs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.errors import StartupError
from app.host import granted_cores
from app.images.files import find_photos
from app.images.preprocessing import Preprocessing
from app.model import golden
from app.model.bundle import INT8_RECORDS, Bundle, load_bundle
from app.model.engine import Engine, Scores
from app.model.golden import Golden
from app.settings import EngineName, Int8Engine
from app.training.data.dataset import Sample, held_out, read_dataset
from app.training.data.loader import PhotoReader, View
from app.training.network.converted import changed_copy, record
from app.training.quantization.cost import Cost
from app.training.quantization.kinds import KINDS, Planes

LEAST_PHOTOS = 50
# These layers cost the most answers in 8 bits and save the least time: see docs/quantization.md.
FLOAT32_LAYERS = (1, 2)
# More photos than these do not make it better, but take longer.
_MOST_PHOTOS = 400

Images = npt.NDArray[np.uint8]


def quantize(
    directory: Path,
    photos: Path | None,
    test: Path | None,
    max_pixels: int,
    exact: Sequence[int] = FLOAT32_LAYERS,
    engine: Int8Engine = "openvino-int8",
) -> tuple[Path, Cost]:
    """Add a network of 8 bits to the bundle in `directory`.

    The bundle records how the network was made, what it costs, and its own golden answers. Without
    `test`, the cost is that of two networks, each made of one half of the photos and tested on the
    other half; the network in the bundle is made of all photos, and so is rather better.

    Args:
        directory: the bundle's path. It gets the network in float32 for the same library, too, if
            it does not have it yet.
        photos: folder of photos like those that will be served. They need no labels.
        test: labelled photos, none of them among `photos`, on which the cost is measured.
        max_pixels: larger photos are refused.
        exact: layers that stay in float32, counted from 1 at the input.
        engine: the engine that shall run it, `openvino-int8` or `onnxruntime-int8`.

    Returns:
        The path of the network's file, and the cost.

    Raises:
        BundleError: the bundle cannot be used.
        StartupError: the engine is not installed or cannot run the network, there are too few
            photos, one cannot be read or is also in `test`, or there is no layer of a number.
    """
    bundle = load_bundle(directory)
    reader = PhotoReader(bundle.preprocessing, max_pixels, None)
    chosen = _chosen(photos)
    samples = _samples(test, bundle, chosen) if test else ()
    images = _read(reader, chosen)
    kind = KINDS[engine]
    if not (directory / kind.source).is_file():
        kind.add_source(directory)
    with changed_copy(directory) as built:
        made = load_bundle(built)
        if samples:
            _write(made, images, exact, engine)
            cost = _tested(made, samples, reader, engine)
        else:
            cost = _cross_tested(made, images, exact, engine)
            _write(made, images, exact, engine)
        origin = {"method": kind.method, "float32_layers": [*exact], "photos": len(images)}
        answers = {"cost": cost.document(), "golden": _golden(made, engine).as_list()}
        record(built, kind.files, {INT8_RECORDS[engine]: origin | answers})
        # The engine compares its answers with the golden ones.
        Engine(load_bundle(built), engine=engine)
    return directory / kind.files[0], cost


def _chosen(photos: Path | None) -> list[Path]:
    """Return the photos in the folder, or at most some evenly spaced ones of them."""
    found = find_photos([photos]) if photos else []
    if len(found) < LEAST_PHOTOS:
        raise StartupError(
            f"8 bits need at least {LEAST_PHOTOS} photos like those that will be served, without "
            f"labels, but there are {len(found)}: name their folder with --photos DIR"
        )
    count = min(len(found), _MOST_PHOTOS)
    return [found[i * len(found) // count] for i in range(count)]


def _samples(test: Path, bundle: Bundle, chosen: Sequence[Path]) -> Sequence[Sample]:
    """Return the labelled photos."""
    samples = read_dataset(held_out(test), bundle.labels or None).samples
    if both := {path.resolve() for path in chosen} & {sample.path.resolve() for sample in samples}:
        raise StartupError(
            f"{min(both)} is among --photos and among --test, but photos that made the network "
            "cannot test it"
        )
    return samples


def _read(reader: PhotoReader, paths: Sequence[Path]) -> Images:
    return reader.read([View(path) for path in paths])


def _write(bundle: Bundle, images: Images, exact: Sequence[int], engine: Int8Engine) -> None:
    """Make a network of 8 bits with these photos, and write it into the bundle."""
    kind, directory = KINDS[engine], bundle.directory
    photos = _planes(bundle.preprocessing, images)
    kind.write(directory / kind.source, directory / kind.files[0], photos, exact)
    # An older network's golden answers do not hold for this one.
    record(directory, kind.files, {INT8_RECORDS[engine]: {}})


def _planes(spec: Preprocessing, images: Images) -> Planes:
    return [spec.normalized(image[np.newaxis]) for image in images]


def _scores(directory: Path, engine: EngineName, images: Images) -> Scores:
    network = Engine(load_bundle(directory), threads=granted_cores(), engine=engine)
    return np.concatenate([network.infer(image[np.newaxis]) for image in images])


def _tested(
    bundle: Bundle, samples: Sequence[Sample], reader: PhotoReader, engine: Int8Engine
) -> Cost:
    images = _read(reader, [sample.path for sample in samples])
    return Cost.measure(
        _scores(bundle.directory, KINDS[engine].float32, images),
        _scores(bundle.directory, engine, images),
        [sample.class_id for sample in samples],
    )


def _cross_tested(bundle: Bundle, images: Images, exact: Sequence[int], engine: Int8Engine) -> Cost:
    """Return what 8 bits cost on each half of the photos, if the other half makes the network."""
    expected = _scores(bundle.directory, KINDS[engine].float32, images)
    scores = np.empty_like(expected)
    for half in (0, 1):
        _write(bundle, images[1 - half :: 2], exact, engine)
        scores[half::2] = _scores(bundle.directory, engine, images[half::2])
    return Cost.measure(expected, scores)


def _golden(bundle: Bundle, engine: Int8Engine) -> Golden:
    picture = golden.drawn_picture(*bundle.preprocessing.crop)[np.newaxis]
    return Golden.record(_scores(bundle.directory, engine, picture)[0])
