"""The training itself: forward pass, gradients, a step, and now and then a checkpoint.

Nothing random happens in a step: which windows it reads follows from the seed and its number. On a
CPU a training that was stopped and taken up at a checkpoint therefore ends with the same bytes.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from tracer.engine.corpus.windows import Windows
from tracer.engine.model.model import Model
from tracer.engine.progress import Progress
from tracer.engine.training.activations import batches, read_activations
from tracer.engine.training.checkpoint import State, write_dictionary, write_state
from tracer.engine.training.optimiser import Optimiser
from tracer.engine.training.trainee import Activations, StepReading, Trainee
from tracer.errors import EngineError
from tracer.record.training import CurvePoint, TrainingRecord

if sys.platform != "win32":
    import resource

POINTS = 100
"""Of the curve, about."""


class Rhythm(NamedTuple):
    """After how many steps something is done; a checkpoint is at a point of the curve."""

    point: int
    checkpoint: int

    @classmethod
    def of(cls, steps: int, tokens_a_step: int, checkpoint_tokens: int) -> Rhythm:
        """The curve's points, and a checkpoint at the first point after so many tokens."""
        point = max(1, steps // POINTS)
        return cls(point, point * max(1, -(-checkpoint_tokens // (tokens_a_step * point))))


@dataclass
class Training:
    """What changes from step to step."""

    trainee: Trainee
    optimiser: Optimiser
    since_fired: Tensor
    """`[layer, feature]`: tokens since a feature was on."""
    record: TrainingRecord
    _fvus: list[Tensor] = field(default_factory=list[Tensor])
    """Of the steps since the curve's last point."""

    @classmethod
    def begin(cls, trainee: Trainee, first: Activations, record: TrainingRecord) -> Training:
        """Before the first step, whose activations set scales and biases."""
        settings = record.settings
        trainee.begin(first)
        since = torch.zeros(
            len(settings.layers), settings.width, dtype=torch.long, device=first.x.device
        )
        optimiser = Optimiser(trainee, settings.learning_rate, record.steps)
        return cls(trainee, optimiser, since, record)

    @classmethod
    def go_on(cls, trainee: Trainee, state: State) -> Training:
        """From a checkpoint."""
        record, tensors = state.record, state.tensors
        own = {name: tensors[f"trainee.{name}"] for name in trainee.state_dict()}
        trainee.load_state_dict(own)
        optimiser = Optimiser(trainee, record.settings.learning_rate, record.steps)
        optimiser.restore(tensors, record.step)
        device = next(trainee.parameters()).device
        return cls(trainee, optimiser, tensors["since_fired"].to(device), record)

    @property
    def state(self) -> State:
        """To be taken at a point of the curve."""
        assert not self._fvus, "a state between two points of the curve"
        own = {f"trainee.{name}": each for name, each in self.trainee.state_dict().items()}
        tensors = {**own, **self.optimiser.state(), "since_fired": self.since_fired}
        return State(tensors, self.record)

    def step(self, batch: Activations) -> None:
        """Learn from a step's activations.

        Raises:
            EngineError: The loss is not a finite number; nothing has changed.
        """
        reading = self.trainee.backward(batch, self.since_fired > self.record.dead_after)
        number = self.record.step
        if not torch.isfinite(reading.loss):
            raise EngineError(
                f"step {number + 1} of {self.record.steps}: the loss is {reading.loss.item()}. "
                "Try a lower --learning-rate, or --dtype float32."
            )
        self.optimiser.step(number)
        self._note(reading, batch.x.shape[1])

    def _note(self, reading: StepReading, n_tokens: int) -> None:
        self.since_fired += n_tokens
        self.since_fired[reading.fired] = 0
        self._fvus.append(reading.fvu)
        self.record = self.record.model_copy(update={"step": self.record.step + 1})

    def point(self, tokens_a_step: int) -> CurvePoint:
        """Close the curve's present interval."""
        dead = (self.since_fired > self.record.dead_after).float().mean(1)
        point = CurvePoint(
            step=self.record.step,
            tokens=self.record.step * tokens_a_step,
            fvu=tuple(torch.stack(self._fvus).mean(0).tolist()),
            dead=tuple(dead.tolist()),
        )
        self._fvus.clear()
        self.record = self.record.model_copy(update={"curve": (*self.record.curve, point)})
        return point


def run(
    training: Training,
    model: Model,
    windows: Windows,
    folder: Path,
    rhythm: Rhythm,
    progress: Progress,
) -> TrainingRecord:
    """Take all steps that are left, and leave the finished dictionary in the folder.

    Raises:
        EngineError: A loss that is not finite; the last checkpoint stands.
        OSError: A checkpoint cannot be written; the one before stands.
    """
    record, settings = training.record, training.record.settings
    tokens_a_step = settings.windows * (windows.ids.shape[1] - windows.n_prefix)
    steps = range(record.step, record.steps)
    before, started = record.seconds, time.monotonic()
    with progress.task("training, tokens", len(steps) * tokens_a_step) as advance:
        for ids in batches(windows, settings.windows, settings.seed, steps):
            try:
                training.step(read_activations(model, ids, windows.n_prefix, settings.layers))
            except EngineError as error:
                raise EngineError(f"{error} {_kept(training, rhythm, folder)}") from error
            except KeyboardInterrupt:
                kept = _kept(training, rhythm, folder)
                progress.note(f"stopped. {kept} The same command goes on from there.")
                raise
            advance(tokens_a_step)
            done = training.record.step
            if done % rhythm.point and done < record.steps:
                continue
            point = training.point(tokens_a_step)
            update = {
                "seconds": round(before + time.monotonic() - started, 1),
                "peak_bytes": max(record.peak_bytes, peak_bytes(model.device)),
            }
            training.record = training.record.model_copy(update=update)
            if done % rhythm.checkpoint == 0 or done == record.steps:
                progress.note(told(point, settings.tokens))
                if done < record.steps:
                    write_state(folder, training.state)
                write_dictionary(folder, training.trainee, training.record)
    return training.record


def told(point: CurvePoint, tokens: int) -> str:
    """A point of the curve as a line of progress."""
    fvu, dead = point.fvu, point.dead
    mean = sum(fvu) / len(fvu)
    return (
        f"{point.tokens:,} of {max(tokens, point.tokens):,} tokens: FVU {mean:.3f} "
        f"({min(fvu):.3f} to {max(fvu):.3f} by layer), dead {100 * sum(dead) / len(dead):.1f} %"
    )


def _kept(training: Training, rhythm: Rhythm, folder: Path) -> str:
    kept = training.record.step // rhythm.checkpoint * rhythm.checkpoint
    if not kept:
        return f"There is no checkpoint in {folder} yet."
    return f"The checkpoint after step {kept} and its dictionary are kept in {folder}."


def peak_bytes(device: torch.device) -> int:
    """Most memory in use so far: of a CUDA device by torch, else of the process; 0 on Windows."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
