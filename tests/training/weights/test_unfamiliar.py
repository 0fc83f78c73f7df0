"""`weights unfamiliar`: a bundle learns to tell photos of other things, and says how well."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import Run
from drawn import COLOURS, draw
from networks import export_small, linear_network, small_card
from paddle import nn
from telling import WHITE, export_telling

from app.delivery.archive import pack, unpack
from app.errors import NoFeatures, StartupError
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.training.data.dataset import Sample
from app.training.data.holdout import Photos, read_divided
from app.training.network.export import export
from app.training.weights.unfamiliar import add_unfamiliar


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle that can tell, the photos of its classes, and others."""
    folder = tmp_path_factory.mktemp("made")
    export_telling(folder / "bundle", folder / "photos")
    for i in range(5):
        draw(folder / "others" / f"{i}.png", WHITE, i)
    return folder


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made / "bundle", tmp_path / "bundle")


def test_a_bundle_learns_it_again_and_says_how_well(run: Run, made: Path, bundle: Path) -> None:
    before = load_bundle(bundle)
    ended = run("weights", "unfamiliar", bundle, made / "photos", "--others", made / "others")
    assert ended.code == 0, ended.err
    document = json.loads(ended.out.splitlines()[-1])
    assert document == {
        "bundle": str(bundle),
        "learned_from": 24,
        "held_out": 6,
        "called_unfamiliar": 0,
        "others": 5,
        "others_called_unfamiliar": 1,
        "auc": 1,
    }
    after = load_bundle(bundle)
    assert after.version == before.version
    record = after.provenance["unfamiliar"]
    assert (record["learned_from"], record["held_out"]) == (24, 6)
    assert "unfamiliar.npy" in after.provenance["sha256"]


def test_without_held_out_photos_of_its_own_it_takes_those_in_test(
    run: Run, made: Path, bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "photos", tmp_path / "divided" / "train")
    for name, colour in COLOURS.items():
        draw(tmp_path / "divided" / "test" / name / "a.png", colour, 77)
    ended = run("weights", "unfamiliar", bundle, tmp_path / "divided")
    document = json.loads(ended.out.splitlines()[-1])
    assert (document["learned_from"], document["held_out"]) == (30, 3)


def test_a_large_class_gives_some_of_its_photos(made: Path, bundle: Path) -> None:
    known = read_divided(made / "photos", 0.3, 0, 10**6, tuple(COLOURS))
    cats = [sample for sample in known.train if not sample.class_id]
    many = Photos(known.classes, known.train + tuple(cats * 10), known.validation)
    fitted = add_unfamiliar(bundle, many, 10**6)
    assert fitted.learned_from == 50 + len(known.train) - len(cats)


def test_one_far_photo_of_a_hundred_is_beyond_the_limit(made: Path, bundle: Path) -> None:
    known = read_divided(made / "photos", 0.3, 0, 10**6, tuple(COLOURS))
    odd = Sample(made / "others" / "0.png", 0)
    held_out = (*(known.validation * 20)[:99], odd)
    fitted = add_unfamiliar(bundle, Photos(known.classes, known.train, held_out), 10**6)
    assert (fitted.held_out, fitted.called_unfamiliar) == (100, 0.01)
    assert fitted.unfamiliarity[-1] == fitted.unfamiliarity.max() > 0.9


def test_nearly_equal_vectors_give_a_bundle_that_starts(made: Path, tmp_path: Path) -> None:
    export_small(tmp_path / "bundle")
    known = read_divided(made / "photos", 0.3, 0, 10**6, tuple(COLOURS))
    path = known.train[0].path
    each = tuple(Sample(path, class_id) for class_id in range(3))
    same = Photos(known.classes, each, each[:1])
    fitted = add_unfamiliar(tmp_path / "bundle", same, 10**6)
    assert fitted.called_unfamiliar == 0
    assert (
        Engine(load_bundle(tmp_path / "bundle"))
        .answer(np.zeros((1, 64, 64, 3), np.uint8))
        .unfamiliarity
        is not None
    )


def test_a_network_without_such_a_vector_keeps_its_bundle(
    run: Run, made: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    export(nn.Sequential(linear_network(), nn.Tanh()), small_card(), bundle)
    files = {path.name: path.read_bytes() for path in bundle.iterdir()}
    ended = run("weights", "unfamiliar", bundle, made / "photos")
    assert (ended.code, ended.err) == (1, f"error: {NoFeatures.title}\n")
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == files


def test_a_broken_photo_is_named_and_nothing_changes(made: Path, bundle: Path) -> None:
    known = read_divided(made / "photos", 0.3, 0, 10**6, tuple(COLOURS))
    broken = bundle.parent / "broken.png"
    broken.write_bytes(b"no photo")
    files = {path.name: path.read_bytes() for path in bundle.iterdir()}
    photos = Photos(known.classes, (*known.train, Sample(broken, 0)), known.validation)
    with pytest.raises(StartupError, match=r"broken\.png"):
        add_unfamiliar(bundle, photos, 10**6)
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == files


def test_a_class_without_photos_is_named(
    run: Run, made: Path, bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "photos" / "dog", tmp_path / "known" / "dog")
    ended = run("weights", "unfamiliar", bundle, tmp_path / "known")
    assert ended.code == 1
    assert ended.err.startswith("error: no photo to learn from of cat, Gänseblümchen: ")


def test_held_out_photos_are_needed(made: Path, bundle: Path) -> None:
    known = read_divided(made / "photos", 0.3, 0, 10**6, tuple(COLOURS))
    with pytest.raises(StartupError, match="no photo is held out"):
        add_unfamiliar(bundle, Photos(known.classes, known.train, ()), 10**6)


def test_a_folder_of_others_without_photos_is_named(run: Run, made: Path, tmp_path: Path) -> None:
    bundle = made / "bundle"
    ended = run("weights", "unfamiliar", bundle, made / "photos", "--others", tmp_path)
    assert (ended.code, ended.err) == (1, f"error: {tmp_path}: no photo was found in it\n")


def test_it_travels_with_the_bundle(made: Path, tmp_path: Path) -> None:
    pack(load_bundle(made / "bundle"), tmp_path / "bundle.tar")
    (tmp_path / "got").mkdir()
    unpack(tmp_path / "bundle.tar", tmp_path / "got", 10**8)
    white = np.full((1, 64, 64, 3), 250, np.uint8)
    far = Engine(load_bundle(tmp_path / "got")).answer(white).unfamiliarity
    assert far is not None
    assert far[0] > 0.5


def test_predict_and_evaluate_say_it(run: Run, made: Path, small_bundle: Path) -> None:
    white, cat = made / "others" / "0.png", made / "photos" / "cat" / "0.png"
    ended = run("predict", white, cat, "--model-dir", made / "bundle", "--json")
    first, second = map(json.loads, ended.out.splitlines())
    assert (first["unfamiliar"], second["unfamiliar"]) == (True, False)
    assert second["unfamiliarity"] < 0.5 < first["unfamiliarity"] < 1
    ended = run("predict", white, cat, "--model-dir", made / "bundle")
    assert ended.out.count("unfamiliar: none of the classes") == 1
    assert f"{first['unfamiliarity']:.3f}" in ended.out
    ended = run("predict", cat, "--model-dir", small_bundle, "--json")
    assert {"unfamiliar", "unfamiliarity"}.isdisjoint(json.loads(ended.out))
    ended = run("evaluate", made / "bundle", made / "photos")
    assert json.loads(ended.out.splitlines()[-1])["unfamiliar"] == 0
    assert "0.0% of the photos are called unfamiliar" in ended.out
    ended = run("evaluate", small_bundle, made / "photos")
    assert "unfamiliar" not in ended.out


def test_a_copy_of_an_unfamiliar_photo_says_so(run: Run, made: Path, tmp_path: Path) -> None:
    white = made / "others" / "0.png"
    for top_k in (1, 2):
        run(
            *("predict", white, "--model-dir", made / "bundle"),
            *("--save", tmp_path / str(top_k), "--top-k", top_k),
        )
    copies = [(tmp_path / str(top_k) / "0.png").read_bytes() for top_k in (1, 2)]
    assert copies[0] == copies[1] != white.read_bytes()
