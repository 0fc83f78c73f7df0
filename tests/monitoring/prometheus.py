"""A real Prometheus that scrapes services every second."""

import json
import subprocess
from pathlib import Path
from typing import Any, Self

import httpx
from running import until

from app.bench.measure.launch import free_port

RULES = Path(__file__).parents[2] / "k8s/monitoring/prometheus/rules.yml"


class RunningPrometheus:
    """Debian's program `prometheus` on a free port, with our rules."""

    def __init__(self, folder: Path, *target_ports: int) -> None:
        address = f"127.0.0.1:{free_port()}"
        targets = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": f"pod-{letter}"}}
            for letter, port in zip("abc", target_ports, strict=False)
        ]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(folder / "rules.yml")],
            "scrape_configs": [{"job_name": "photo-classifier", "static_configs": targets}],
        }
        # Rules that read a month of data are evaluated every few minutes: too seldom for a test.
        (folder / "rules.yml").write_text(RULES.read_text().replace("interval: 5m", "interval: 1s"))
        (folder / "prometheus.yml").write_text(json.dumps(config))
        options = {
            "config.file": folder / "prometheus.yml",
            "storage.tsdb.path": folder / "data",
            "web.listen-address": address,
            "log.level": "error",
            "enable-feature": "exemplar-storage",
        }
        command = ["prometheus", *(f"--{key}={value}" for key, value in options.items())]
        self.process = subprocess.Popen(command)
        self.client = httpx.Client(base_url=f"http://{address}/api/v1", timeout=30)

    def __enter__(self) -> Self:
        until(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait()

    def now(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression at this moment. An error fails the test."""
        return self._ask("/query", query=expression)

    def lately(self, expression: str, start: float, end: float) -> list[dict[str, Any]]:
        """Return the series of an expression from `start` to `end`, one value per second."""
        return self._ask("/query_range", query=expression, start=start, end=end, step=1)

    def exemplars(self, series: str, start: float, end: float) -> list[dict[str, Any]]:
        """Return the exemplars of a series from `start` to `end`."""
        found = self._ask("/query_exemplars", query=series, start=start, end=end)
        return [exemplar for one in found for exemplar in one["exemplars"]]

    def _ask(self, path: str, **parameters: str | float) -> list[dict[str, Any]]:
        answer = self.client.get(path, params=parameters).json()
        assert answer["status"] == "success", (parameters["query"], answer)
        assert not answer.get("warnings"), (parameters["query"], answer)
        data = answer["data"]
        series: list[dict[str, Any]] = data if isinstance(data, list) else data["result"]
        return series

    def _answers(self) -> bool:
        try:
            return bool(self.now("classifier_ready"))
        except (httpx.TransportError, json.JSONDecodeError):
            return False
