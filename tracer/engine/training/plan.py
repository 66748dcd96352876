"""What a training takes, measured on two steps that are thrown away afterwards."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tracer.engine.corpus.windows import Windows
from tracer.engine.model.model import Model
from tracer.engine.training.activations import batches, read_activations
from tracer.engine.training.loop import Training, peak_bytes
from tracer.engine.training.trainee import Trainee
from tracer.errors import EngineError
from tracer.record.training import TrainingPlan, TrainingRecord

_MARGIN = 50 * 10**6


def plan_training(
    make: Callable[[], Trainee], model: Model, windows: Windows, record: TrainingRecord
) -> TrainingPlan:
    """Take two steps of a dictionary that is not kept, and measure the second.

    Args:
        make: Makes what is to be trained.
        model: To learn from.
        windows: Of tokens.
        record: What is to be trained, and how far it is.
    """
    settings = record.settings
    two = batches(windows, settings.windows, settings.seed, range(2))
    first, second = (each for each in two)
    activations = read_activations(model, first, windows.n_prefix, settings.layers)
    trial = Training.begin(make(), activations, record)
    trial.step(activations)
    del activations
    _wait(model.device)
    started = time.monotonic()
    trial.step(read_activations(model, second, windows.n_prefix, settings.layers))
    _wait(model.device)
    seconds = time.monotonic() - started
    weights = [p.numel() for p in trial.trainee.parameters()]
    tokens = settings.windows * (windows.ids.shape[1] - windows.n_prefix)
    written = 4 * sum(weights)
    left = record.steps - record.step
    return TrainingPlan(
        parameters=sum(weights),
        steps=record.steps,
        tokens_a_step=tokens,
        readings=record.steps * settings.windows / len(windows),
        tokens_a_second=tokens / seconds,
        seconds=seconds * left,
        peak_bytes=peak_bytes(model.device),
        dictionary_bytes=written,
        disk_bytes=2 * 3 * written + written + 4 * max(weights),
    )


def require_disk(folder: Path, plan: TrainingPlan) -> None:
    """Refuse a disk that has no room for what is written.

    Raises:
        EngineError: It has less than the training needs at most.
    """
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(existing).free
    here = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if free + here < plan.disk_bytes + _MARGIN:
        raise EngineError(
            f"{folder}: the training needs up to {plan.disk_bytes / 1e9:.1f} GB of disk, "
            f"and {free / 1e9:.1f} GB are free. Nothing was begun."
        )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
