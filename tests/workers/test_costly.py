"""Every costly file, decoded by a real decoder: it ends within the bounds, and the pool goes on."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from costly import CORPUS, CostlyFile, bmp, gif, jpeg, png, tiff, webp
from real_pools import until

from app.bench.measure.processes import usage
from app.errors import ServiceError
from app.model.bundle import load_bundle
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.workers.decoders import DecoderPool
from app.workers.slots import PixelSlots

SETTINGS = Settings(decoders=1)
# What a decoder has mapped before its first upload: Python, Pillow, NumPy and shared memory.
LIBRARIES_BYTES = 100_000_000
LIMIT_BYTES = 18 * SETTINGS.max_pixels + 2**26 + LIBRARIES_BYTES
# The kernel counts ticks, and a look at a process comes now and then.
LIMIT_CPU_S = SETTINGS.decode_timeout_s + 0.5


@dataclass
class Cost:
    """The most that a look at any decoder has shown."""

    cpu_s: float = 0
    resident_bytes: int = 0

    async def watch(self, pool: DecoderPool) -> None:
        """Look at the decoders until this is cancelled."""
        while True:
            for pid in pool.pids:
                used = usage({pid})
                self.cpu_s = max(self.cpu_s, used.cpu_s if used else 0)
                self.resident_bytes = max(self.resident_bytes, most_resident_bytes(pid))
            await asyncio.sleep(0.01)


def most_resident_bytes(pid: int) -> int:
    """Return the most memory that a process has ever held; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


async def ending(pool: DecoderPool, data: bytes) -> str:
    """Decode an upload and return the code with which it ends; "ok" for an answer."""
    slot = pool.slots.take()
    assert slot
    try:
        await pool.submit(data, slot)
    except ServiceError as error:
        return error.code
    finally:
        slot.release()
    return "ok"


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("file", CORPUS, ids=str)
async def test_a_costly_file_ends_within_the_bounds(file: CostlyFile, small_bundle: Path) -> None:
    spec = load_bundle(small_bundle).preprocessing
    upload, cost = file.draw(), Cost()
    assert len(upload) <= SETTINGS.max_upload_bytes
    slots = PixelSlots(8, spec.crop)
    async with DecoderPool(spec, slots, SETTINGS, Metrics()) as pool:
        watch = asyncio.create_task(cost.watch(pool))
        code = await ending(pool, upload)
        watch.cancel()
        # A slow or lost decoder is replaced.
        await until(lambda: pool.up == 1)
        assert await ending(pool, bmp.column()) == "ok"
    print(f"{file}: {code}, {cost.cpu_s:.2f} s, {cost.resident_bytes / 1e6:.0f} MB")
    assert code in file.codes
    assert cost.cpu_s <= LIMIT_CPU_S
    assert cost.resident_bytes <= LIMIT_BYTES
    assert len(slots.free) == 8


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("draw", [webp.transparent_zeros, webp.lossy_alpha, png.zeros])
async def test_memory_suffices_for_each_image_that_has_no_more_pixels_than_allowed(
    draw: Callable[[], bytes], small_bundle: Path
) -> None:
    spec = load_bundle(small_bundle).preprocessing
    patient = SETTINGS.model_copy(update={"decode_timeout_s": 60})
    async with DecoderPool(spec, PixelSlots(8, spec.crop), patient, Metrics()) as pool:
        assert await ending(pool, draw()) == "ok"


def test_every_recipe_is_in_the_corpus() -> None:
    recipes = {
        function
        for module in (bmp, gif, jpeg, png, tiff, webp)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert recipes == {file.draw for file in CORPUS}
    assert all(recipe.__doc__ for recipe in recipes)
