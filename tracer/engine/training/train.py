"""Train a dictionary: the model, its text, what is there already, the plan, the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from tracer.engine.corpus.passages import TextSource, find_texts
from tracer.engine.corpus.sampled import SAMPLED, WHAT, sample_windows
from tracer.engine.corpus.windows import LENGTH, Windows, read_windows
from tracer.engine.memory import free_memory
from tracer.engine.model.model import Model
from tracer.engine.model.weights import open_weights
from tracer.engine.progress import Progress
from tracer.engine.surroundings import environment
from tracer.engine.training.activations import (
    READS,
    WRITES,
    batches,
    read_activations,
    steps_of,
    windows_of_step,
)
from tracer.engine.training.checkpoint import (
    State,
    read_state,
    remove_state,
    require_own,
)
from tracer.engine.training.cross_layer import CrossLayerTranscoder
from tracer.engine.training.loop import Rhythm, Training, run
from tracer.engine.training.plan import plan_training, require_disk
from tracer.engine.training.trainee import Trainee
from tracer.engine.training.transcoders import Transcoders
from tracer.errors import UsageError
from tracer.hypothesis.spec import ModelSpec
from tracer.record.claim import claimed
from tracer.record.training import (
    Activation,
    Kind,
    TrainingPlan,
    TrainingRecord,
    TrainingSettings,
    TrainingText,
    read_training,
)

TRAINEES: Mapping[Kind, Callable[[TrainingSettings, int], Trainee]] = {
    "transcoders": Transcoders,
    "cross-layer": CrossLayerTranscoder,
}
_DEAD_AFTER, _DEAD_SHARE = 10_000_000, 20
"""Tokens, and the share of the training's as a divisor: whichever is less."""


class TrainingRequest(NamedTuple):
    """What the user wants trained."""

    model: ModelSpec
    texts: Sequence[str]
    folder: Path
    kind: Kind
    width: int | None
    """None: about three times d_model, a power of two."""
    activation: Activation
    k: int
    skip: bool | None
    """None: with transcoders, and without in a cross-layer one, as each is usually trained."""
    layers: Sequence[int] | None
    """None: all."""
    tokens: int
    learning_rate: float | None
    """None: by width, see `usual_rate`."""
    seed: int
    checkpoint_tokens: int | None
    """None: a twentieth of the tokens."""


def train(
    asked: TrainingRequest, told: Callable[[TrainingPlan, TrainingRecord], bool], progress: Progress
) -> TrainingRecord:
    """Train a dictionary, or go on with its training; what is finished is left as it is.

    Args:
        asked: What is to be trained.
        told: Is given the plan before anything is written; False: nothing is trained.
        progress: Is told of each step.

    Raises:
        UsageError: Settings that cannot be, a text that cannot be read, or a folder that holds
            something else.
        ModelUnavailable: No such model here, or one without MLPs to hook.
        EngineError: A loss that is not finite, or no room.
        OSError: A checkpoint cannot be written.
    """
    folder = asked.folder.expanduser().absolute()
    require_own(folder)
    with claimed(folder) as is_mine:
        if not is_mine:
            raise UsageError(f"--out {asked.folder}: another process trains there.")
        return _train(asked._replace(folder=folder), told, progress)


def _train(
    asked: TrainingRequest, told: Callable[[TrainingPlan, TrainingRecord], bool], progress: Progress
) -> TrainingRecord:
    sources = _sources(asked.texts)
    model = Model(open_weights(asked.model, progress))
    model.require((READS, WRITES), "training a dictionary")
    settings = _settings(asked, model)
    windows = _windows(asked, sources, model, progress)
    text = TrainingText(
        names=tuple(asked.texts),
        what=tuple(source.what for source in sources) or (WHAT,),
        tokens=windows.n_tokens,
        window=windows.ids.shape[1],
        sha256=windows.sha256,
    )
    fresh = TrainingRecord(
        model=model.record,
        text=text,
        settings=settings,
        steps=steps_of(settings.tokens, settings.windows, text.window - windows.n_prefix),
        step=0,
        dead_after=min(_DEAD_AFTER, settings.tokens // _DEAD_SHARE),
        curve=(),
        environment=environment(torch.get_num_threads()),
        seconds=0,
        peak_bytes=0,
    )
    state = read_state(asked.folder)
    begun = state.record if state else read_training(asked.folder)
    if begun is not None:
        _require_same(begun, fresh, asked.folder)
        if begun.is_finished:
            remove_state(asked.folder)
            return begun
    return _go(asked, model, windows, begun or fresh, state, told, progress)


def _sources(texts: Sequence[str]) -> list[TextSource]:
    """The texts to read; none where the model is to write its own.

    Raises:
        UsageError: One is no text, or the model's own stands beside others.
    """
    if SAMPLED not in texts:
        return find_texts(texts)
    if len(texts) > 1:
        raise UsageError(f"--text {SAMPLED}: what the model writes itself is a text alone.")
    return []


def _windows(
    asked: TrainingRequest, sources: Sequence[TextSource], model: Model, progress: Progress
) -> Windows:
    length = _window(model)
    if not sources:
        return sample_windows(model, asked.tokens, length, asked.seed, progress)
    return read_windows(
        sources, model.tokenizer, progress, length=length, part="training", at_most=asked.tokens
    )


def _go(
    asked: TrainingRequest,
    model: Model,
    windows: Windows,
    record: TrainingRecord,
    state: State | None,
    told: Callable[[TrainingPlan, TrainingRecord], bool],
    progress: Progress,
) -> TrainingRecord:
    """Plan, and train from the start or from a checkpoint."""

    def make() -> Trainee:
        return TRAINEES[record.settings.kind](record.settings, model.record.d_model).to(
            model.device
        )

    with progress.task("measuring two steps"):
        plan = plan_training(make, model, windows, record)
    require_disk(asked.folder, plan)
    if not told(plan, record):
        return record
    free_memory()
    asked.folder.mkdir(parents=True, exist_ok=True)
    training = _begun(make(), model, windows, record, state)
    del state
    every = asked.checkpoint_tokens or record.settings.tokens // 20
    rhythm = Rhythm.of(record.steps, plan.tokens_a_step, every)
    done = run(training, model, windows, asked.folder, rhythm, progress)
    remove_state(asked.folder)
    return done


def _begun(
    trainee: Trainee, model: Model, windows: Windows, record: TrainingRecord, state: State | None
) -> Training:
    if state is not None:
        return Training.go_on(trainee, state)
    settings = record.settings
    first = next(batches(windows, settings.windows, settings.seed, range(1)))
    return Training.begin(
        trainee, read_activations(model, first, windows.n_prefix, settings.layers), record
    )


def _window(model: Model) -> int:
    return min(LENGTH, model.context)


def _settings(asked: TrainingRequest, model: Model) -> TrainingSettings:
    """With what is usual for this model where nothing was said.

    Raises:
        UsageError: Layers that the model has not, or a k over the width.
    """
    n_layers, d_model = model.n_layers, model.record.d_model
    layers = tuple(range(n_layers)) if asked.layers is None else tuple(sorted(set(asked.layers)))
    if beyond := [layer for layer in layers if not 0 <= layer < n_layers]:
        raise UsageError(
            f"--layers: {beyond[0]} is no layer of {model.record.name}, whose layers are 0 to "
            f"{n_layers - 1}."
        )
    width = usual_width(d_model) if asked.width is None else asked.width
    if asked.k > width:
        raise UsageError(
            f"--k {asked.k} is over the width, {width}; of TopK's k features of a layer's {width} "
            "are on at a token."
        )
    if asked.kind == "cross-layer" and len(layers) < n_layers:
        raise UsageError(
            "--layers: a cross-layer transcoder has all layers; choose layers of --kind "
            "transcoders only."
        )
    if asked.kind == "transcoders" and asked.activation != "topk":
        raise UsageError(
            f"--activation {asked.activation}: eai-sparsify's transcoders have TopK; choose topk, "
            "or --kind cross-layer."
        )
    return TrainingSettings(
        kind=asked.kind,
        width=width,
        activation=asked.activation,
        k=asked.k,
        skip=asked.kind == "transcoders" if asked.skip is None else asked.skip,
        layers=layers,
        tokens=asked.tokens,
        windows=windows_of_step(asked.tokens, _window(model), d_model, len(layers)),
        learning_rate=usual_rate(width) if asked.learning_rate is None else asked.learning_rate,
        seed=asked.seed,
    )


def usual_width(d_model: int) -> int:
    """The power of two from three times d_model on: 2,048 for 640."""
    return 1 << (3 * d_model - 1).bit_length()


def usual_rate(width: int) -> float:
    """A learning rate that falls with the root of the width, as eai-sparsify's does."""
    return 2e-3 * (2048 / width) ** 0.5


_OPTIONS = {
    "kind": "--kind",
    "width": "--width",
    "activation": "--activation",
    "k": "--k",
    "skip": "--skip",
    "layers": "--layers",
    "tokens": "--tokens",
    "learning_rate": "--learning-rate",
    "seed": "--seed",
    "windows": "windows a step",
}
"""What the fields of `TrainingSettings` are called on the command line."""


def _require_same(begun: TrainingRecord, asked: TrainingRecord, folder: Path) -> None:
    """Refuse to go on with other settings.

    Raises:
        UsageError: Model, text or a setting differs.
    """
    pairs = [
        ("the model", begun.model.fingerprint, asked.model.fingerprint),
        ("--dtype", begun.model.dtype, asked.model.dtype),
        ("the text", begun.text.sha256, asked.text.sha256),
        *(
            (option, getattr(begun.settings, name), getattr(asked.settings, name))
            for name, option in _OPTIONS.items()
        ),
    ]
    other = [_differs(*pair) for pair in pairs if pair[1] != pair[2]]
    if other:
        raise UsageError(
            f"--out {folder}: a training with other settings is there, and nothing of it was "
            f"changed: {'; '.join(other)}. Give the same, or another folder."
        )


def _differs(what: str, there: object, here: object) -> str:
    if what.startswith("the "):
        return f"{what} is another"
    return f"{what} was {_short(there)}, is {_short(here)}"


def _short(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return f"{value[0]} to {value[-1]} ({len(value)} layers)"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
