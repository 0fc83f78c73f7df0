"""The imports, held to the table of rooms: a photo falls through them from the top down."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
APP = ROOT / "app"

# Each room, and the rooms that its files may import. A room may always import its own files.
ROOMS = {
    "__main__": "cli",
    "cli": "main training bench bulk delivery model images settings disk errors host pace",
    "main": "api serving workers model telemetry settings errors host",
    "training": "delivery model images settings disk errors host pace",
    "bench": "bulk workers model images telemetry settings errors host",
    "bulk": "serving workers model images telemetry settings errors host pace",
    "delivery": "model disk errors",
    "api": "serving model images telemetry settings errors",
    "serving": "workers model images telemetry settings errors",
    "workers": "model images telemetry settings errors host",
    "model": "images settings errors",
    "images": "errors",
    "telemetry": "settings errors host",
    "settings": "errors host",
    "disk": "errors",
    "errors": "",
    "host": "",
    "pace": "",
}
# The same within the two wings: their folders, and the files that lie beside these.
WINGS = {
    "training": {
        "train": "learning run weights report evaluation network data options",
        "export_run": "learning run weights report evaluation network data options",
        "learning": "run weights evaluation network data options",
        "run": "quality weights report evaluation network data copies options",
        "quality": "report data copies",
        "weights": "network data options",
        "report": "evaluation data",
        "quantization": "evaluation network data",
        "evaluation": "data",
        "network": "",
        "data": "copies",
        "copies": "",
        "options": "",
    },
    "bench": {
        "efficiency": "load_test rounds sweep report measure load",
        "engines": "report measure load",
        "load_test": "rounds sweep report measure load",
        "report": "sweep measure load",
        "rounds": "measure",
        "sweep": "measure",
        "measure": "load",
        "load": "",
    },
}
WEB = re.compile(r"^ *(import|from) (fastapi|starlette|uvicorn)", re.MULTILINE)
GRPC = re.compile(r"^ *(import|from) grpc", re.MULTILINE)
PADDLE = re.compile(r"^ *(import|from) paddle", re.MULTILINE)


def imports(file: Path) -> Iterator[tuple[str, ...]]:
    """Yield the modules of ours that a file imports, in functions too, as (room, ...)."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            package, *parts = node.module.split(".")
            if package == "app":
                for name in node.names:
                    yield tuple(parts) if _is_module(parts) else (*parts, name.name)
        elif isinstance(node, ast.Import):
            for name in node.names:
                package, *parts = name.name.split(".")
                if package == "app":
                    yield tuple(parts)


def _is_module(parts: list[str]) -> bool:
    return bool(parts) and APP.joinpath(*parts).with_suffix(".py").is_file()


def files() -> list[Path]:
    return sorted(APP.rglob("*.py"))


def name_of(file: Path) -> tuple[str, ...]:
    return file.relative_to(APP).with_suffix("").parts


def check(table: Mapping[str, str], own: str, other: str) -> None:
    """Tell whether a file of the room `own` may import one of `other`."""
    assert own in table, f"{own} has no line in the table"
    if other not in (own, "__version__"):
        assert other in table[own].split(), f"{own} may not import {other}"


@pytest.mark.parametrize("file", files(), ids=lambda file: "/".join(name_of(file)))
def test_imports_keep_to_the_table_of_rooms(file: Path) -> None:
    own = name_of(file)
    if own == ("__init__",):
        assert not list(imports(file))
        return
    for other in imports(file):
        check(ROOMS, own[0], other[0])
        if own[0] == other[0] and own[0] in WINGS and len(own) > 1 and own[1] != "__init__":
            check(WINGS[own[0]], own[1], other[1])


@pytest.mark.parametrize("table", [ROOMS, *WINGS.values()])
def test_the_table_leads_downward(table: Mapping[str, str]) -> None:
    rooms = list(table)
    for place, room in enumerate(rooms):
        for other in table[room].split():
            assert rooms.index(other) > place, f"{room} -> {other}"


def test_no_two_modules_import_each_other() -> None:
    graph = {name_of(file): set(imports(file)) for file in files()}
    done: set[tuple[str, ...]] = set()

    def visit(module: tuple[str, ...], path: tuple[tuple[str, ...], ...]) -> None:
        assert module not in path, " -> ".join(map("/".join, (*path, module)))
        if module not in done:
            for other in graph.get(module, ()):
                visit(other, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_only_the_api_names_the_web_framework() -> None:
    for file in files():
        name = name_of(file)
        if name[0] != "api" and name not in {("main",), ("telemetry", "tracing")}:
            assert not WEB.search(file.read_text()), file


def test_only_its_port_names_grpc() -> None:
    for file in files():
        if name_of(file)[:2] != ("api", "rpc"):
            assert not GRPC.search(file.read_text()), file


def test_only_its_engine_and_training_name_paddle() -> None:
    """Reading photos and judging answers never loads a framework."""
    for file in files():
        name = name_of(file)
        reads = name[1:2] in {("copies",), ("data",), ("evaluation",), ("quality",), ("report",)}
        learns = name[0] == "training" and not reads
        if name != ("model", "paddle_engine") and not learns:
            assert not PADDLE.search(file.read_text()), file


def test_a_room_begins_with_one_sentence_and_nothing_else() -> None:
    for file in APP.rglob("__init__.py"):
        if name_of(file) in {("__init__",), ("cli", "__init__"), ("training", "__init__")}:
            continue  # the version; the program; and training quiets Paddle
        (only,) = ast.parse(file.read_text()).body
        assert isinstance(only, ast.Expr), file
        sentence = ast.literal_eval(only.value)
        assert re.fullmatch(r"[A-Z][^\n]+\.", sentence), file


def test_no_room_hides_a_module_of_the_standard_library() -> None:
    """`paddle.distributed.launch app/__main__.py` puts `app/` itself on the module path."""
    names = {path.stem for path in APP.iterdir()} - {"__init__", "__main__", "__pycache__"}
    assert names.isdisjoint(sys.stdlib_module_names)


def test_the_server_process_loads_no_engine() -> None:
    """Paddle holds Python's lock while it runs: it lives in a worker process."""
    program = "import sys, app.main, app.model.offline; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert "app.model.engine" in loaded
    assert {"paddle", "onnxruntime", "openvino", "pillow_heif"}.isdisjoint(loaded)
    # gRPC is imported only for the dialect that needs it.
    assert "grpc" not in loaded
