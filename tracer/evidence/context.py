"""A record and the hypothesis it is judged by: where every kind of test finds its trials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tracer.evidence.case import NO_CONTROLS, Case, ControlValues, Wording, untested, vacuous
from tracer.evidence.measures.measure import Naming
from tracer.evidence.measures.registry import measure_of
from tracer.evidence.own_patterns import decided_by_patterns
from tracer.evidence.wording import show_token, show_written
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.held_out import Content, content
from tracer.hypothesis.implied import all_interventions
from tracer.hypothesis.procedure import FAMILIES, Family
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.template import renderings
from tracer.record.arrays import Arrays, control_key, procedure_key
from tracer.record.record import Record
from tracer.record.testable import baseline_problem, found_on, source_problem, trial_problem
from tracer.record.trials import ProcedureControl, Trial
from tracer.record.verdict import SPLITS, Outcome, PromptOutcome, SplitName

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
    def _splits(self) -> Splits:
        return Splits(self.asked)

    @cached_property
    def specs(self) -> Mapping[str, InterventionSpec]:
        """Every intervention that is asked for, those of studies too."""
        return all_interventions(self.asked)

    def splits(self, prompts: Sequence[str]) -> Iterator[tuple[SplitName, list[str]]]:
        """The prompts of each split that has any."""
        return iter(self._splits.of(prompts))

    def on(self, intervention: str, expectation: Expectation, prompt: str) -> PromptOutcome:
        """Judge an expectation on one trial, if nothing stands in the way."""
        trial = self.trial(intervention, prompt)
        if isinstance(trial, str):
            return untested(prompt, trial)
        problem = self._reads_problem(expectation)
        if problem is not None:
            return untested(prompt, problem)
        found = self.judge_case(expectation, self.case(intervention, trial))
        decided = decided_by_patterns(self.record, self.specs[intervention], expectation, prompt)
        return vacuous(found, decided) if decided and found.outcome == "held" else found

    def judge_case(self, expectation: Expectation, case: Case) -> PromptOutcome:
        """Judge an expectation on a trial, and on the same prompt as it is without the clamps."""
        judge = measure_of(expectation).judge
        found = judge(expectation, case)
        if found.outcome != "held":
            return found
        if case.changes_nothing:
            return vacuous(found, "the clamps change no value on this prompt")
        if not expectation.claims_no_change:
            before = judge(expectation, case.unclamped())
            if before.outcome == "held":
                return vacuous(found, f"it holds unclamped as well: {before.observed}")
        return found

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
        tokens, place = trial.control_tokens, (intervention, trial.prompt)

        def values(key: Callable[[str, str, str], str]) -> ControlValues:
            logits, logsumexp = (self.arrays[key(*place, what)] for what in ("logits", "logsumexp"))
            attends = self.arrays.get(key(*place, "attends"), NO_CONTROLS.attends)
            return ControlValues(tokens, logits, logsumexp, attends=attends)

        made = values(procedure_key) if trial.procedure else NO_CONTROLS
        usable = [
            (n, each)
            for n, each in enumerate(trial.procedure)
            if not any(baseline_problem(self.record.prompts[name]) for name in each.on)
        ]
        return Case(
            declared=self.asked.prompts[trial.prompt],
            prompt=self.record.prompts[trial.prompt],
            trial=trial,
            controls=values(control_key) if trial.n_controls else NO_CONTROLS,
            procedure={family: _of_family(made, usable, family) for family in FAMILIES},
            donors=[each for _, each in usable if each.family == "donors"],
            doses=self.specs[intervention].doses,
            seed=self.asked.seed,
            n_asked=self.asked.n_controls(self.specs[intervention]),
        )

    def word(
        self, expectation: Expectation, spec: InterventionSpec, prompts: Sequence[str]
    ) -> Wording:
        """How an expectation of an intervention is written on these prompts."""
        return word(self.asked, expectation, spec, prompts)


def _of_family(
    made: ControlValues, usable: Sequence[tuple[int, ProcedureControl]], family: Family
) -> ControlValues:
    mine = [(n, each) for n, each in usable if each.family == family]
    return made.some([n for n, _ in mine], [each.answer for _, each in mine])


class JudgedOutcomes:
    """The outcomes of a verdict, found again by the expectation that each is of.

    Whoever shows the p of a test reads it here: there is one, the judge's.
    """

    def __init__(self, asked: Hypothesis, outcomes: Iterable[Outcome] = ()) -> None:
        self._asked = asked
        self._splits = Splits(asked)
        self._found: dict[tuple[str, str, str], list[Outcome]] = {}
        for each in outcomes:
            key = (each.intervention, each.split, each.expectation)
            self._found.setdefault(key, []).append(each)

    def of(self, intervention: str, expectation: Expectation) -> Iterator[Outcome]:
        """Its outcome on each split; none where it was not judged."""
        spec = self._asked.interventions.get(intervention)
        for split, prompts in self._splits.of(spec.prompts) if spec else ():
            assert spec is not None
            wording = word(self._asked, expectation, spec, prompts)
            begins = (f"{wording.test} on ", f"{wording.test}, ")
            for each in self._found.get((intervention, split, wording.measure), ()):
                if each.expected.startswith(begins):
                    yield each


class Splits:
    """The prompts that count, split by split."""

    def __init__(self, asked: Hypothesis) -> None:
        self._asked = asked
        self._found: dict[tuple[str, ...], Sequence[tuple[SplitName, list[str]]]] = {}

    def of(self, prompts: Sequence[str]) -> Sequence[tuple[SplitName, list[str]]]:
        """Each split that has any of these prompts; of prompts with one text, the first counts."""
        key = tuple(prompts)
        if key not in self._found:
            said = {self._content(prompt): prompt for prompt in reversed(key)}
            mine = {split: [p for p in said.values() if self._is_of(split, p)] for split in SPLITS}
            self._found[key] = [
                (split, sorted(mine[split], key=key.index)) for split in SPLITS if mine[split]
            ]
        return self._found[key]

    def _content(self, prompt: str) -> Content:
        return content(self._asked.prompts[prompt], self._asked.template)

    def _is_of(self, split: SplitName, prompt: str) -> bool:
        return self._asked.prompts[prompt].held_out == (split == "held out")


def word(
    asked: Hypothesis, expectation: Expectation, spec: InterventionSpec, prompts: Sequence[str]
) -> Wording:
    """How an expectation is written: a token as it reads on the prompts, where they agree."""

    def show(written: str) -> str:
        read = renderings(written, (asked.prompts[prompt] for prompt in prompts))
        return show_token(read.pop()) if len(read) == 1 else show_written(written)

    return measure_of(expectation).word(expectation, Naming(show, spec.doses))
