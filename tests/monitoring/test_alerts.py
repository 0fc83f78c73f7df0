"""Each alert fires alone on its bad day and is silent otherwise. promtool plays the days."""

import subprocess
from pathlib import Path

import pytest
import yaml
from scenarios import HEALTHY, SCENARIOS, Scenario

RULES = Path(__file__).parents[2] / "k8s/monitoring/prometheus/rules.yml"


def promtool(*arguments: object, given: str | None = None) -> str:
    """Run promtool and return its output. An error fails the test and shows the output."""
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


def test_the_rules_are_well_formed() -> None:
    promtool("check", "rules", RULES)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_just_the_right_alerts_fire(scenario: Scenario, tmp_path: Path) -> None:
    firing = "count by (alertname) (ALERTS{alertstate='firing'})"
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in scenario.fires]
    played = HEALTHY | scenario.different
    test = {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in played.items()],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{scenario.minute}m", "exp_samples": expected}
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": [test]}))
    promtool("test", "rules", file)


def test_every_alert_is_played() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert alerts == set().union(*(scenario.fires for scenario in SCENARIOS))
