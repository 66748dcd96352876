"""Blessed runs: one small file for each hypothesis, which changes only when it is blessed again."""

from __future__ import annotations

import os
from pathlib import Path

from tracer.atomic import write_text
from tracer.errors import UsageError
from tracer.regression.essentials import SCHEMA, Essentials
from tracer.run_folder import read_model

FOLDER = "baselines"
_DEFAULT = Path("hypotheses")


def home(file: str) -> Path:
    """The folder of a baseline: beside the hypothesis file, where that is here."""
    return (Path(file).parent if os.path.isfile(file) else _DEFAULT) / FOLDER


def in_folder(folder: Path, hypothesis: str) -> Path:
    """Where a folder keeps the baseline of a hypothesis."""
    return folder / f"{hypothesis}.json"


def bless(kept: Essentials, path: Path) -> Path:
    """Keep a run as the one that later ones are compared with.

    Raises:
        OSError: It cannot be written; an older baseline stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, kept.model_dump_json(by_alias=True, indent=1) + "\n")
    return path


def read_baseline(path: Path) -> Essentials:
    """Read a blessed run.

    Raises:
        UsageError: There is none, or it is not one that this version reads.
    """
    if not os.path.isfile(path):
        raise UsageError(f"{path}: there is no baseline here; `tracer bless RUN` makes one.")
    return read_model(path, Essentials, SCHEMA)
