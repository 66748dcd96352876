"""A record and the hypothesis it is judged by: where every kind of test finds its trials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tracer.evidence.case import (
    Case,
    ControlValues,
    Wording,
    found_on,
    source_problem,
    trial_problem,
    untested,
)
from tracer.evidence.measures.measure import Naming
from tracer.evidence.measures.registry import measure_of
from tracer.evidence.wording import show_token
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.implied import all_interventions
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.template import render_token
from tracer.record.arrays import Arrays, control_key
from tracer.record.record import Record
from tracer.record.trials import Trial
from tracer.record.verdict import Outcome, PromptOutcome, SplitName

_SPLITS: tuple[SplitName, ...] = ("discovery", "held out")

_Place = tuple[str, str]
"""Intervention and prompt."""


@dataclass(frozen=True)
class JudgingContext:
    """One run under one set of expectations.

    A run may have thousands of expectations on a handful of trials, so what is found out of a
    trial is kept.
    """

    record: Record
    arrays: Arrays
    asked: Hypothesis
    _trials: dict[_Place, Trial | str] = field(default_factory=dict[_Place, "Trial | str"])
    _cases: dict[_Place, Case] = field(default_factory=dict[_Place, Case])

    @cached_property
    def specs(self) -> Mapping[str, InterventionSpec]:
        """Every intervention that is asked for, those of studies too."""
        return all_interventions(self.asked)

    def splits(self, prompts: Sequence[str]) -> Iterator[tuple[SplitName, list[str]]]:
        """The prompts of each split that has any."""
        return splits_of(self.asked, prompts)

    def on(self, intervention: str, expectation: Expectation, prompt: str) -> PromptOutcome:
        """Judge an expectation on one trial, if nothing stands in the way."""
        trial = self.trial(intervention, prompt)
        if isinstance(trial, str):
            return untested(prompt, trial)
        problem = self._reads_problem(expectation)
        if problem is not None:
            return untested(prompt, problem)
        return measure_of(expectation).judge(expectation, self.case(intervention, trial))

    def trial(self, intervention: str, prompt: str) -> Trial | str:
        """One intervention on one prompt, or why nothing can be judged of it."""
        place = (intervention, prompt)
        if place not in self._trials:
            self._trials[place] = self._trial(*place)
        return self._trials[place]

    def _trial(self, intervention: str, prompt: str) -> Trial | str:
        observed = self.record.interventions.get(intervention)
        trial = observed.trials.get(prompt) if observed else None
        if trial is None:
            return "it was not measured: the run is incomplete"
        return trial_problem(self.record, trial) or trial

    def _reads_problem(self, expectation: Expectation) -> str | None:
        """Why a supernode that is read may not be what it is called."""
        found = (
            source_problem(self.record, name, found_on(self.record, name))
            for name in expectation.supernodes()
        )
        return next((problem for problem in found if problem is not None), None)

    def case(self, intervention: str, trial: Trial) -> Case:
        """A trial with its controls."""
        place = (intervention, trial.prompt)
        if place not in self._cases:
            self._cases[place] = self._case(intervention, trial)
        return self._cases[place]

    def _case(self, intervention: str, trial: Trial) -> Case:
        def array(what: str, empty: tuple[int, ...]) -> np.ndarray:
            if trial.n_controls == 0:
                return np.zeros(empty)
            return self.arrays[control_key(intervention, trial.prompt, what)]

        tokens = trial.control_tokens
        return Case(
            declared=self.asked.prompts[trial.prompt],
            prompt=self.record.prompts[trial.prompt],
            trial=trial,
            controls=ControlValues(
                tokens, array("logits", (0, len(tokens))), array("logsumexp", (0,))
            ),
            doses=self.specs[intervention].doses,
            seed=self.asked.seed,
        )

    def word(
        self, expectation: Expectation, spec: InterventionSpec, prompts: Sequence[str]
    ) -> Wording:
        """How an expectation of an intervention is written on these prompts."""
        return word(self.asked, expectation, spec, prompts)


class JudgedOutcomes:
    """The outcomes of a verdict, found again by the expectation that each is of.

    Whoever shows the p of a test reads it here: there is one, the judge's.
    """

    def __init__(self, asked: Hypothesis, outcomes: Iterable[Outcome] = ()) -> None:
        self._asked = asked
        self._found: dict[tuple[str, str, str], list[Outcome]] = {}
        for each in outcomes:
            key = (each.intervention, each.split, each.expectation)
            self._found.setdefault(key, []).append(each)

    def of(self, intervention: str, expectation: Expectation) -> Iterator[Outcome]:
        """Its outcome on each split; none where it was not judged."""
        spec = self._asked.interventions.get(intervention)
        for split, prompts in splits_of(self._asked, spec.prompts) if spec else ():
            assert spec is not None
            wording = word(self._asked, expectation, spec, prompts)
            begins = (f"{wording.test} on ", f"{wording.test}, ")
            for each in self._found.get((intervention, split, wording.measure), ()):
                if each.expected.startswith(begins):
                    yield each


def splits_of(asked: Hypothesis, prompts: Sequence[str]) -> Iterator[tuple[SplitName, list[str]]]:
    """The prompts of each split that has any."""
    for split in _SPLITS:
        held_out = split == "held out"
        mine = [p for p in prompts if asked.prompts[p].held_out == held_out]
        if mine:
            yield split, mine


def word(
    asked: Hypothesis, expectation: Expectation, spec: InterventionSpec, prompts: Sequence[str]
) -> Wording:
    """How an expectation is written: a token as it reads on the prompts, where they agree."""

    def show(written: str) -> str:
        read = {render_token(written, asked.prompts[prompt]) for prompt in prompts}
        return show_token(read.pop() if len(read) == 1 else written)

    return measure_of(expectation).word(expectation, Naming(show, spec.doses))
