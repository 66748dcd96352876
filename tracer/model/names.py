"""Which words may stand for a model, told before anything is opened."""

from __future__ import annotations

from tracer.folders import looks_like_folder
from tracer.hypothesis.problem import shorten
from tracer.model.registry import MODELS, nearest


def misnamed_model(name: str) -> str | None:
    """Why a word cannot stand for a model; an id or folder may yet be there."""
    if name in MODELS or "/" in name or looks_like_folder(name):
        return None
    return unknown_model(name)


def unknown_model(name: str) -> str:
    """The sentence for a name that nothing answers to: the nearest, the known, what else may be."""
    near = nearest(name[:200])
    guess = f" Did you mean {near!r}?" if near else ""
    return (
        f"unknown model {shorten(name)!r}.{guess} Known names: {', '.join(MODELS)}. Otherwise give "
        "a folder, or a Hugging Face id of the form organisation/name."
    )
