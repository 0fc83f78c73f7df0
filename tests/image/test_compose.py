"""docker-compose.yml on a real Docker: the order of the start, metrics, and an alert."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from containers import COMPOSE_FILE, ROOT, best_label, compose, free_port, run
from running import until

from app import __version__
from app.settings import Settings

MONITORING = ROOT / "k8s" / "monitoring"


class Stack:
    """The service and Prometheus, which compose runs under a project name for tests."""

    def __init__(self, override: Path) -> None:
        self.ports = {"HTTP_PORT": free_port(), "PROMETHEUS_PORT": free_port()}
        self._files = ("--file", str(COMPOSE_FILE), "--file", str(override))
        self.url = f"http://127.0.0.1:{self.ports['HTTP_PORT']}"
        self.prometheus = f"http://127.0.0.1:{self.ports['PROMETHEUS_PORT']}/api/v1"

    def __call__(self, *command: str) -> str:
        options = ("--project-name", "imagecheck", *self._files)
        return run(*compose(), *options, *command, **self.ports)

    def ask(self, path: str) -> Any:  # noqa: ANN401  (the result is any JSON value)
        """Return the data of Prometheus's answer; empty while Prometheus starts."""
        try:
            return httpx.get(f"{self.prometheus}/{path}").raise_for_status().json()["data"]
        except httpx.HTTPError:
            return {}

    def health(self) -> list[str]:
        """Return the health of each target that Prometheus scrapes."""
        return [target["health"] for target in self.ask("targets").get("activeTargets", [])]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self.ask("alerts").get("alerts", [])
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """The real files, but alerts fire after 5 s, because minutes are too long for a test."""
    hasty = tmp_path / "rules.yml"
    rules = (MONITORING / "prometheus" / "rules.yml").read_text()
    hasty.write_text(re.sub(r"( for:) \w+", r"\1 5s", rules))
    hasty.chmod(0o644)
    override = tmp_path / "override.yml"
    mount = f"{hasty}:/etc/prometheus/rules.yml:ro"
    override.write_text(yaml.safe_dump({"services": {"prometheus": {"volumes": [mount]}}}))
    stack = Stack(override)
    try:
        stack("up", "--detach", "prometheus")
        yield stack
    finally:
        stack("down", "--volumes", "--timeout", "30")


def test_prometheus_scrapes_the_service_and_tells_when_it_is_gone(stack: Stack) -> None:
    # Compose starts Prometheus only when the service is healthy, so the first request is answered.
    assert best_label(stack.url) == "tiger cat"
    until(lambda: stack.health() == ["up"])
    until(lambda: stack.ask("query?query=classifier_in_flight_photos").get("result"))
    assert "ClassifierTargetDown" not in stack.firing()
    stack("stop", "classifier")
    until(lambda: "ClassifierTargetDown" in stack.firing(), timeout_s=90)
    stack("start", "classifier")
    until(lambda: stack.health() == ["up"])
    until(lambda: "ClassifierTargetDown" not in stack.firing())


def test_compose_reads_the_file() -> None:
    services = yaml.safe_load(run(*compose(), "--file", COMPOSE_FILE, "config"))["services"]
    assert services.keys() == {"classifier", "prometheus", "grafana"}
    assert services["classifier"]["image"] == f"photo-classifier:{__version__}"
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["mem_limit"]
        assert float(service["cpus"]) > 0
        assert not service["image"].endswith(":latest")
        assert ":" in service["image"]


def test_keys_come_from_the_environment_if_they_are_there() -> None:
    def environment(**variables: str) -> dict[str, str | None]:
        text = run(*compose(), "--file", COMPOSE_FILE, "config", **variables)
        found: dict[str, str | None] = yaml.safe_load(text)["services"]["classifier"]["environment"]
        return found

    # Without the variable, compose sets no key in the container.
    assert environment().get("CLASSIFIER_API_KEYS") is None
    assert environment(CLASSIFIER_API_KEYS="one,two")["CLASSIFIER_API_KEYS"] == "one,two"
    assert environment(CLASSIFIER_ADMIN_KEY="three")["CLASSIFIER_ADMIN_KEY"] == "three"


def test_what_is_mounted_exists() -> None:
    services = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
    mounts = [mount for service in services.values() for mount in service.get("volumes", [])]
    paths = [ROOT / mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert len(paths) == 5
    assert all(path.exists() for path in paths)


def test_the_service_has_time_to_drain() -> None:
    given = yaml.safe_load(COMPOSE_FILE.read_text())["services"]["classifier"]["stop_grace_period"]
    fields = Settings.model_fields
    needed = fields["drain_delay_s"].default + fields["drain_timeout_s"].default
    assert int(given.removesuffix("s")) > needed


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    grafana = yaml.safe_load(COMPOSE_FILE.read_text())["services"]["grafana"]
    provisioning = MONITORING / "grafana" / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    scraped = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text())
    interval = source["datasources"][0]["jsonData"]["timeInterval"]
    assert interval == scraped["global"]["scrape_interval"]
    provider = yaml.safe_load((provisioning / "dashboards" / "files.yml").read_text())
    inside = provider["providers"][0]["options"]["path"]
    assert f"./k8s/monitoring/grafana/dashboards:{inside}:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (MONITORING / "grafana" / "dashboards" / Path(home).name).is_file()
    assert Path(home).parent == Path(inside)
