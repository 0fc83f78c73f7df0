"""Draws likenesses of both dashboards for docs/operate.md.

The program runs the service with a few minutes of traffic, and a Prometheus that scrapes it. It
needs Debian's Prometheus; `make likenesses` runs it.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from dashboards import boards
from drawing import Data, draw
from prometheus import RunningPrometheus
from running import RunningServer, until
from traffic import KEYS, ordinary_day

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "weights/MobileNetV2_x1_0_keras"
SECONDS = float(os.environ.get("LIKENESS_SECONDS", "240"))
MOST_PER_S = 8.0


def main() -> int:
    """Write the pictures, and say where they are."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            RunningServer(
                BUNDLE,
                folder / "log",
                workers=2,
                max_batch_size=None,
                longest_wait_s=0.7,
                canary_interval_s=5,
                api_keys=",".join(KEYS),
                dialects="huggingface",
            ) as server,
            RunningPrometheus(folder, server.port) as prometheus,
        ):
            start = time.time()
            ordinary_day(server, SECONDS, MOST_PER_S)
            until(lambda: server.health()["workers_up"] == server.health()["workers"])
            data = Data(prometheus, start, time.time())
            for board in boards():
                file = ROOT / "docs" / f"{board['uid'].removeprefix('photo-classifier-')}.png"
                draw(board, data, file)
                print(file.relative_to(ROOT), file.stat().st_size, "bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
