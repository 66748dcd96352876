"""The one model that this process holds, and the lock around everything that runs it.

All browser tabs share it. Hooks change it while it runs, so only the holder of the lock may run it.
Opening another model frees the first one before, because memory may not hold both.
"""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from tracer import engine
from tracer.engine.progress import Silent
from tracer.errors import EngineError, UsageError
from tracer.hypothesis.spec import ModelSpec
from tracer.record.graph.graph import ListedGraph, Subject
from tracer.record.record import Record

if TYPE_CHECKING:
    from tracer.engine.head_reason import AskedPrompt
    from tracer.engine.resolve import MeasurementContext
    from tracer.engine.session import Opened

Key = tuple[str, str | None, str, str, str]
"""Name, revision, dtype, device and features."""

_OPENING = threading.Lock()


@dataclass
class Held:
    """A model with its features; run it, and change what is known, only under the lock."""

    opened: Opened
    lock: threading.Lock = field(default_factory=threading.Lock)
    known: MeasurementContext | None = None
    """Of the last try: its unclamped passes are not made again."""
    frozen: tuple[ListedGraph, AskedPrompt] | None = None
    """The graph that was last asked about, and its prompt: it is not frozen again."""


@dataclass
class _Holding:
    key: Key | None = None


def absent() -> str | None:
    """Why no model can be run here at all, as a sentence."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed here, so no model can be run: recorded interventions only."
    return None


def key_of(record: Record) -> Key:
    """The model and features that a run was measured with; the device is where it was asked for."""
    spec = record.hypothesis.model_spec
    return spec.name, spec.revision, spec.dtype, spec.device, record.hypothesis.features


def key_of_graph(subject: Subject) -> Key:
    """Those that a graph outside of runs was taken with, as far as its file tells."""
    spec = ModelSpec(name=subject.model or "unknown")
    return spec.name, spec.revision, spec.dtype, spec.device, subject.basis


def is_held(key: Key) -> bool:
    """Whether this model is in memory."""
    return _holding().key == key


def held_with(of_model: tuple[str, str | None, str, str]) -> Key | None:
    """The key of what is in memory, where it is this model, whatever its features are."""
    key = _holding().key
    return key if key is not None and key[:4] == of_model else None


def device_of(key: Key) -> str | None:
    """Where the model is, as a record says it; None where it is not in memory."""
    return _held(key).opened.model.record.device if is_held(key) else None


def hold(key: Key) -> Held:
    """The model, opened now where it is not held yet.

    Raises:
        TracerError: It cannot be had here.
    """
    with _OPENING:
        if not is_held(key):
            _let_go()
        try:
            held = _held(key)
        except (ImportError, MemoryError, RuntimeError, ValueError) as error:
            told = " ".join(str(error).split())[:300] or type(error).__name__
            raise EngineError(f"{key[0]}: the model could not be loaded ({told}).") from error
        _holding().key = key
        return held


def free() -> None:
    """Let the model go; who is running it finishes first."""
    with _OPENING:
        _let_go()


def _let_go() -> None:
    was_held = _holding().key is not None
    _held.clear()
    _holding().key = None
    if was_held:
        engine.memory.free_memory()


@st.cache_resource(show_spinner=False)
def _holding() -> _Holding:
    return _Holding()


@st.cache_resource(max_entries=1, show_spinner=False)
def _held(key: Key) -> Held:
    name, revision, dtype, device, features = key
    spec = ModelSpec.model_validate(
        {"name": name, "revision": revision, "dtype": dtype, "device": _here(device)}
    )
    return Held(engine.session.open_both(spec, features, Silent()))


def _here(device: str) -> str:
    """The run's device, or where this machine has none such, what it has."""
    try:
        engine.model.weights.choose_device(device)
    except UsageError:
        return "auto"
    return device
