"""Writes a bundle's `inference.yml`, with the hashes of the files beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from app.model.bundle import CONFIG, GRAPHS, PARAMETERS, sha256
from app.model.golden import Golden


def write_config(
    directory: Path,
    sections: Mapping[str, Any],
    provenance: Mapping[str, Any],
    answers: Golden | None,
) -> None:
    """Write the yml of the bundle whose network lies in `directory`.

    Args:
        directory: the bundle.
        sections: `Global`, `PreProcess` and `PostProcess`.
        provenance: origin, licence and accuracy.
        answers: the golden answers, if they are known already.
    """
    files = [path for name in (*GRAPHS, PARAMETERS) if (path := directory / name).exists()]
    golden = {"golden": answers.as_list()} if answers else {}
    hashes = {"sha256": {file.name: sha256(file) for file in files}}
    config = {**sections, "Provenance": {**provenance, **hashes, **golden}}
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    (directory / CONFIG).write_text(text, encoding="utf-8")
