"""Every prompt: what each intervention did on it, and how the model saw it."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.record.record import PromptRecord, Record
from tracer.record.testable import gives_answer
from tracer.report.limits import MAX_PROMPTS, MAX_TEXT, Cut, cut, each_of, middle_out
from tracer.report.sections.interventions import InterventionView

_FEWEST_CHARACTERS = 300


@dataclass(frozen=True)
class PromptView:
    """A prompt as the model saw it."""

    prompt: PromptRecord
    split: str
    text: str
    """Without its middle where it is long."""
    holds: bool
    """Whether the model gives the answer unclamped."""


@dataclass(frozen=True)
class PromptsView:
    """The tables of what was done, then the prompts of the file."""

    interventions: tuple[InterventionView, ...]
    prompts: Cut[PromptView]


def prompt_views(record: Record) -> Cut[PromptView]:
    """The prompts of the file, as many as a page lists."""
    shown = cut(list(record.prompts.items()), MAX_PROMPTS, "prompts", "run.json")
    length = each_of(MAX_TEXT, len(shown.kept), _FEWEST_CHARACTERS)
    declared = record.hypothesis.prompts
    views = tuple(_prompt(each, declared[name].group, length) for name, each in shown.kept)
    return Cut(views, shown.note)


def _prompt(prompt: PromptRecord, group: str | None, length: int) -> PromptView:
    split = "held out" if prompt.held_out else "discovery"
    split = split if group is None else f"{split}, group {group}"
    return PromptView(prompt, split, middle_out(prompt.text, length), gives_answer(prompt))
