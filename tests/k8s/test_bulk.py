"""The RayJob of `classify` has KubeRay's form, and its command and versions are this project's."""

import re
import shlex
from typing import Any

import jsonschema
import pytest
import typer
from manifests import ROOT, Object, read
from test_schemas import check

from app import __version__, cli

JOB = "bulk/rayjob.yaml"


def pods(job: Object) -> list[Object]:
    cluster = job["spec"]["rayClusterSpec"]
    groups = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
    return [group["template"] for group in groups]


def test_the_job_and_its_pods_have_their_form() -> None:
    job = read(JOB)
    check(job)
    for template in pods(job):
        check({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **template})


def test_a_key_that_does_not_exist_is_found() -> None:
    job = read(JOB)
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 4
    with pytest.raises(jsonschema.ValidationError):
        check(job)


def test_the_command_is_understood() -> None:
    program, *words = shlex.split(read(JOB)["spec"]["entrypoint"])
    assert [program, *words[:3]] == ["python", "-m", "app", "classify"]
    command: Any = typer.main.get_command(cli.app)
    command.commands["classify"].make_context("classify", words[3:])


def test_all_have_the_locked_version_of_ray() -> None:
    locked = re.search(r"^ray==([\d.]+)", (ROOT / "requirements/ray.txt").read_text(), re.MULTILINE)
    assert locked
    assert read(JOB)["spec"]["rayClusterSpec"]["rayVersion"] == locked[1]
    dockerfile = (ROOT / "k8s/bulk/Dockerfile").read_text()
    assert f"FROM rayproject/ray:{locked[1]}-py311-cpu" in dockerfile
    image = f"photo-classifier-ray:{__version__}"
    assert f"--tag {image} ." in dockerfile
    assert {template["spec"]["containers"][0]["image"] for template in pods(read(JOB))} == {image}
