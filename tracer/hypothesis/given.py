"""What a caller gives as prompts and rules, made a hypothesis that is checked as a file is.

A prompt is a text, or a mapping as in a file's `prompts:` section (`text`, `answer`, `spans`, …,
and a value for each variable of the template). A plain text has no variables: its braces are its
own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from tracer.errors import HypothesisError, KeyPath, UsageError
from tracer.hypothesis.check import meaning_problems
from tracer.hypothesis.load import FROM_PYTHON, HypothesisFile, parsed, place_mistake
from tracer.hypothesis.overrides import apply_overrides
from tracer.hypothesis.partial import read_parts
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.yaml_text import Mark

Prompt = str | Mapping[str, Any]
Prompts = Prompt | Iterable[str] | Mapping[str, Prompt]
Table = dict[str, dict[str, Any]]
"""Prompts as a file has them, by name, each with a text of its own."""
_OF_PROMPTS = ("model", "template", "prompts")
"""Sections of a file that the prompts and their answers depend on."""


def prompt_table(prompts: Iterable[str] | Mapping[str, Prompt], template: str | None) -> Table:
    """Prompts by name; those of a list are numbered: `prompt_1`, `prompt_2`."""
    if isinstance(prompts, str):
        prompts = [prompts]
    if not isinstance(prompts, Mapping):
        prompts = {f"prompt_{n}": each for n, each in enumerate(prompts, 1)}
    if not prompts:
        raise UsageError("no prompt was given; one or more are expected.")
    return {name: prompt_of(each, template) for name, each in prompts.items()}


def prompt_of(prompt: Prompt, template: str | None) -> dict[str, Any]:
    """One prompt with its text."""
    if isinstance(prompt, str):
        return {"text": prompt.replace("{", "{{").replace("}", "}}")}
    own = "text" in prompt or "messages" in prompt
    return dict(prompt) if own or template is None else {"text": template, **prompt}


def merged(tables: Iterable[Table]) -> Table:
    """All prompts of several tables.

    Raises:
        UsageError: Two different prompts have one name.
    """
    whole: Table = {}
    for table in tables:
        for name, prompt in table.items():
            if whole.setdefault(name, prompt) != prompt:
                raise UsageError(
                    f"two different prompts are named {name!r}; give one of them another name."
                )
    return whole


def declared(
    model: ModelSpec,
    features: str,
    prompts: Table,
    supernodes: Mapping[str, Mapping[str, Any]] | None = None,
    path: str = FROM_PYTHON,
    marks: Mapping[KeyPath, Mark] = MappingProxyType({}),
) -> HypothesisFile:
    """A hypothesis that claims nothing: prompts and supernodes, checked.

    Args:
        model: What it is about.
        features: The feature basis.
        prompts: By name, each with a text of its own.
        supernodes: By name.
        path: Of the file they come from, which mistakes are told of.
        marks: Where each is in that file.

    Raises:
        HypothesisError: Every mistake in them.
    """
    data = {
        "model": model.model_dump(),
        "features": features,
        "prompts": prompts,
        "supernodes": dict(supernodes or {}),
    }
    return _without_claim(path, data, marks)


def prompts_of(path: str, text: str, overrides: Iterable[str] = ()) -> HypothesisFile:
    """The prompts of a file with their model, though its other sections are missing or wrong.

    Raises:
        HypothesisError: Every mistake in model, template and prompts; text that is no YAML.
    """
    source, texts = parsed(path, text), tuple(overrides)
    apply_overrides(source.data, texts)
    data = {key: source.data[key] for key in _OF_PROMPTS if key in source.data}
    return _without_claim(path, data, source.marks, texts)


def _without_claim(
    path: str,
    data: Mapping[str, Any],
    marks: Mapping[KeyPath, Mark],
    overrides: tuple[str, ...] = (),
) -> HypothesisFile:
    reading = read_parts({"hypothesis": "given", "claim": "none", **data})
    problems = reading.problems or list(dict.fromkeys(meaning_problems(reading.parts)))
    if problems or reading.hypothesis is None:
        raise HypothesisError(path, [place_mistake(p, marks, overrides) for p in problems])
    return HypothesisFile(path, "", reading.hypothesis, overrides, marks)
