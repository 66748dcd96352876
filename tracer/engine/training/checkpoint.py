"""The state of a training on disk, and the dictionary as it stands: written together.

`training-state.safetensors` holds weights, both moments of Adam and how long each feature was off;
its metadata hold the record. It is replaced in one step, first; then follow the dictionary's files
and `training.json`. What is killed in between has the new state and goes on from there. The state
is removed at the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tracer.engine.training.trainee import Trainee
from tracer.errors import UsageError
from tracer.record.files import as_json, left_behind, remove_left_behind, write_file, write_text
from tracer.record.training import FILE, TrainingRecord

STATE = "training-state.safetensors"
_RECORD = "record"
_OS_ERROR = re.compile(r"\(os error (\d+)\)")


class State(NamedTuple):
    """A training that stopped between two steps."""

    tensors: Mapping[str, Tensor]
    record: TrainingRecord


def write_state(folder: Path, state: State) -> None:
    """Replace the state of a training in one step.

    Raises:
        OSError: It cannot be written, e.g. because the disk is full; the older one stands.
    """
    about = {_RECORD: state.record.model_dump_json(by_alias=True)}
    _write_tensors(folder / STATE, state.tensors, about)


def read_state(folder: Path) -> State | None:
    """The state of a training that has not ended; None where there is none.

    Raises:
        UsageError: The file is no such state.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            record = TrainingRecord.model_validate_json((file.metadata() or {})[_RECORD])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValidationError, KeyError) as error:
        raise UsageError(
            f"{path}: no state of a training that this tracer goes on from; remove it to begin "
            "anew, or choose another folder."
        ) from error
    return State(tensors, record)


@torch.no_grad()
def write_dictionary(folder: Path, trainee: Trainee, record: TrainingRecord) -> None:
    """The dictionary as it stands, each file replaced in one step, and how it was trained.

    Raises:
        OSError: A file cannot be written.
    """
    for path, content in trainee.files():
        place = folder / path
        place.parent.mkdir(exist_ok=True)
        if isinstance(content, str):
            write_text(place, content)
        else:
            _write_tensors(place, content, {})
    write_text(folder / FILE, as_json(record))


def remove_state(folder: Path) -> None:
    """Remove what only an unfinished training needs."""
    (folder / STATE).unlink(missing_ok=True)
    remove_left_behind(folder, 0)


def require_own(folder: Path) -> None:
    """Refuse a folder that holds something else than a training of ours.

    Raises:
        UsageError: It is a file, or holds another dictionary or other files.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder}: this is a file; name a new or empty folder.")
    if not folder.is_dir() or (folder / STATE).exists() or (folder / FILE).exists():
        return
    ours = set(left_behind(folder, 0))
    others = sorted(path.name for path in folder.iterdir() if path not in ours)
    if others:
        raise UsageError(
            f"--out {folder}: the folder holds {others[0]} and no training of tracer's; "
            "name a new or empty folder."
        )


def _write_tensors(path: Path, tensors: Mapping[str, Tensor], about: dict[str, str]) -> None:
    whole = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}

    def fill(temporary: Path) -> None:
        try:
            save_file(whole, temporary, {"format": "pt", **about})
        except SafetensorError as error:
            # Its errors of the system come as words.
            number = _OS_ERROR.search(str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), str(error)) from error

    write_file(path, fill)
