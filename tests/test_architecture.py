"""The imports, held to the picture: they go downward only, and serving never needs training."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

APP = Path(__file__).parents[1] / "app"

# From the top down; a module imports only what stands on lines below its own.
LAYERS = (
    "__main__",
    "cli",
    "bench",
    "main",
    "routes middleware server",
    "problems prediction album upload keys connection",
    "service pool",
    "served workers door decoding",
    "child",
    "calibration",
    "batching engine",
    "paddle_engine onnx_engine",
    "bundle images captions bfloat16",
    "golden preprocessing metrics logs tracing bounds",
    "schemas settings",
    "cores errors hint loop_lag malloc drain_rate __init__",
)
LEVEL = {name: level for level, line in enumerate(LAYERS) for name in line.split()}
# Commands import what they start; `training` uses the files that both halves share.
FROM_TRAINING = {"bundle", "engine", "errors", "golden", "images", "preprocessing", "training"}
FROM_TRAINING |= {"captions", "cores", "hint", "paddle_engine", "prediction", "schemas", "settings"}


def part(module: str) -> str:
    """Return the part of the house a module belongs to: app.routes.health -> routes."""
    return [*module.split("."), "__init__"][1]


def imports(file: Path) -> Iterator[str]:
    """Yield the modules of ours that a file imports, in functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "app":
                yield from (f"app.{name.name}" for name in node.names)
            elif node.module.startswith("app."):
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "app")


def files() -> list[Path]:
    return sorted(APP.rglob("*.py"))


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(APP)))
def test_imports_go_downward(file: Path) -> None:
    own = file.relative_to(APP).with_suffix("").parts[0]
    for module in imports(file):
        name = part(module)
        if own == "training":
            assert name in FROM_TRAINING, f"training imports {module}"
        elif name == "training":
            assert own == "cli", f"{own} imports {module}"
        elif name not in LEVEL:
            assert name.startswith("__"), f"{module} has no place in the picture"
        elif name != own:
            assert LEVEL[own] < LEVEL[name], f"{own} imports {module}, which stands above"


def test_no_two_modules_import_each_other() -> None:
    graph = {
        ".".join(("app", *file.relative_to(APP).with_suffix("").parts)): set(imports(file))
        for file in files()
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for other in graph.get(module, ()):
                visit(other, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_only_its_engine_and_training_name_paddle() -> None:
    for file in files():
        if file.name != "paddle_engine.py" and file.parent.name != "training":
            assert not re.search(r"^ *(import|from) paddle", file.read_text(), re.MULTILINE), file


def test_the_server_process_loads_no_engine() -> None:
    """Paddle holds Python's lock while it runs: it lives in a worker process."""
    program = "import sys, app.main, app.model.offline; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert "app.model.engine" in loaded
    assert {"paddle", "onnxruntime"}.isdisjoint(loaded)
