"""Paddle's compiled library alone, which is all that inference on a CPU needs.

`import paddle` also imports a thousand Python modules for training: 0.6 s of CPU and 60 MB for each
worker process. The functions called here are those that `paddle.base` calls when it is imported;
paddlepaddle is pinned to one version, and a test compares the answers with those of all of Paddle.
"""

import importlib
import importlib.util
import os
import sys
import warnings
from pathlib import Path
from typing import Any

_NAME = "paddle.base.libpaddle"


def load_core() -> Any:  # noqa: ANN401  (a module of pybind11, without types)
    """Return the compiled module, initialised.

    If it cannot be loaded alone, as where CUDA's libraries have to be found first, all of Paddle
    is imported instead.

    Raises:
        ImportError: PaddlePaddle is not installed.
    """
    if _NAME not in sys.modules:
        try:
            _load_alone()
        except ImportError:
            import_paddle()
    return sys.modules[_NAME]


def import_paddle() -> Any:  # noqa: ANN401  (a module)
    """Import all of Paddle, for what the compiled library alone does not have."""
    # Paddle warns if it does not find ccache, a compiler cache that is not needed here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("paddle")


def _load_alone() -> None:
    package = importlib.util.find_spec("paddle")
    folders = package.submodule_search_locations if package else None
    file = Path(folders[0]) / "base/libpaddle.so" if folders else None
    spec = file and importlib.util.spec_from_file_location(_NAME, file)
    if not spec or not spec.loader:
        raise ImportError("PaddlePaddle's compiled library is not installed")
    core = importlib.util.module_from_spec(spec)
    # It cannot be loaded twice, so a later `import paddle` has to find it here.
    sys.modules[_NAME] = core
    try:
        spec.loader.exec_module(core)
    except ImportError:
        del sys.modules[_NAME]
        raise
    _initialise(core)


def _initialise(core: Any) -> None:  # noqa: ANN401
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    flags = [name.removeprefix("FLAGS_") for name in core.globals().keys()]  # noqa: SIM118  (no dict)
    core.init_gflags([f"--tryfromenv={','.join(flags)}"])
    core.init_glog("app")
    core.init_memory_method()
    core.init_devices()
    core.init_tensor_operants()
    core.init_default_kernel_signatures()
