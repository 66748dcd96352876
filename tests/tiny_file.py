"""The tiny hypothesis as a file, about a model that lies in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.bench import TINY
from tracer.engine.progress import Silent
from tracer.engine.run import measure
from tracer.hypothesis.load import read
from tracer.report.run import judge_and_save


def write_tiny(folder: Path, model: Path | str, /, **changes: Any) -> Path:
    """`tiny.yaml` in a folder, with whole sections changed or added."""
    declared = TINY | {"model": {"name": str(model), "device": "cpu"}} | changes
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
    return path


def run_tiny(root: Path, model: Path) -> None:
    """A run of it under `root`'s reports, judged and drawn."""
    file = read(str(write_tiny(root, model)))
    judge_and_save(measure(file, reports=root / "reports", progress=Silent()))
