"""A canary as docs/operate/rollout.md says: two pulled bundles, one photo in ten, and back."""

import re
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from load import PHOTOS
from prometheus import RunningPrometheus
from running import RunningServer, until

from app.delivery.archive import pack
from app.delivery.pull import pull
from app.model.bundle import Bundle, load_bundle, sha256

PAGE = (Path(__file__).parents[2] / "docs/operate/rollout.md").read_text()
(BLOCK,) = re.findall(r"^```promql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
OUTCOMES, SLOWEST, SCORE = re.split(r"^# .*\n", BLOCK, flags=re.MULTILINE)[1:]
# The autoscaler keeps nine pods of the old version. One process stands for all of them.
STABLE_PHOTOS = 9


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server for the tar files in `tmp_path`; HTTP will do on this machine."""
    handler = partial(Quiet, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def travelled(bundle: Path, track: str, folder: Path, web: str) -> Bundle:
    """Pack a bundle, and pull it as an init container does."""
    file = folder / f"{track}.tar"
    pack(load_bundle(bundle), file)
    place = folder / track / "current"
    return pull(f"{web}/{file.name}", sha256(file), place, 10**9, print)


def answers_of(prometheus: RunningPrometheus, query: str) -> dict[str, float]:
    """Return the query's value for each version that has one, over the last seconds."""
    series = prometheus.now(query.replace("[5m]", "[20s]"))
    found = ((one["metric"]["version"], float(one["value"][1])) for one in series)
    # A version has a series for each outcome, also for those that have not come about.
    return {version: value for version, value in found if value > 0}


def test_a_tenth_first_and_back(
    default_bundle: Path, small_bundle: Path, web: str, tmp_path: Path
) -> None:
    old = travelled(default_bundle, "stable", tmp_path, web)
    new = travelled(small_bundle, "canary", tmp_path, web)
    with (
        RunningServer(tmp_path / "stable/current", tmp_path / "stable.log", workers=1) as stable,
        RunningServer(
            tmp_path / "canary/current", tmp_path / "canary.log", workers=1, drain_delay_s=2
        ) as canary,
        RunningPrometheus(tmp_path, stable.port, canary.port) as prometheus,
    ):
        told: Counter[str] = Counter()

        def send(turns: int) -> None:
            for turn in range(turns):
                # A Service leads to the pods that are ready.
                chosen = canary if turn % (STABLE_PHOTOS + 1) == 0 and canary.ready() else stable
                answer = chosen.predict(PHOTOS[turn % len(PHOTOS)])
                assert answer.status_code == 200
                told[answer.json()["model"]["version"]] += 1

        until(lambda: len(prometheus.now("classifier_model_info")) == 2)
        send(50)
        assert told == {old.version: 45, new.version: 5}

        def both() -> bool:
            send(10)
            return all(len(answers_of(prometheus, query)) == 2 for query in (SLOWEST, SCORE))

        until(both)
        rates = answers_of(prometheus, OUTCOMES)
        slowest = answers_of(prometheus, SLOWEST)
        scores = answers_of(prometheus, SCORE)
        print(f"\nphotos a second {rates}, 95 % below {slowest} s, mean of the best score {scores}")
        assert rates.keys() == {old.version, new.version}
        assert rates[new.version] < rates[old.version] / 3
        assert scores[old.version] != pytest.approx(scores[new.version], abs=0.01)

        before = told[new.version]
        canary.process.terminate()
        send(50)
        assert canary.process.wait(30) == 0
        send(10)
        # The canary may still answer a photo or two while it is not yet known to be leaving.
        assert told[new.version] <= before + 5
        assert stable.health()["model"]["version"] == old.version
        assert set(answers_of(prometheus, OUTCOMES)) >= {old.version}
