"""From measurements to a verdict: the only place that says whether a claim held.

Judging reads a record and its arrays, never a model, so a run can be judged again at any time, and
by other thresholds than it was made with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tracer.arrays import Arrays, check_arrays, control_key
from tracer.evidence.baseline import found_on, source_problem, trial_problem
from tracer.evidence.case import Case, ControlReadings, untested
from tracer.evidence.caveats import caveats
from tracer.evidence.conclusion import Judged, conclude
from tracer.evidence.edges import judge_edge, word_edge
from tracer.evidence.expectations import AnyExpectation, all_expectations, judge_case, word
from tracer.evidence.outcomes import gather
from tracer.evidence.rejudging import post_hoc
from tracer.evidence.verdict import PromptOutcome, SplitName, Verdict
from tracer.evidence.wording import show_token
from tracer.hypothesis.expectations import Fraction
from tracer.hypothesis.graph_rules import GRAPH
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.template import render_token
from tracer.record import Record, Trial

_SPLITS: tuple[SplitName, ...] = ("discovery", "held out")


def judge(record: Record, arrays: Arrays, *, hypothesis: Hypothesis | None = None) -> Verdict:
    """Judge every expectation of a run.

    Args:
        record: what was observed.
        arrays: the tensors beside it.
        hypothesis: other expectations than the run was made with; what differs is listed in
            `post_hoc`.

    Raises:
        UsageError: The arrays do not fit the record, or the hypothesis asks for what was not
            measured.
    """
    check_arrays(record, arrays)
    asked = hypothesis or record.hypothesis
    changes = post_hoc(record, asked)
    bench = _Bench(record, arrays, asked)
    judged = [
        one
        for name, spec in asked.interventions.items()
        for expectation in all_expectations(spec)
        for one in bench.judge(name, expectation)
    ]
    judged += bench.judge_graph()
    outcomes = tuple(one.outcome for one in judged)
    verdict, reason = conclude(record, asked, judged)
    return Verdict(
        schema="tracer.verdict/1",
        run=record.id,
        hypothesis=asked.hypothesis,
        claim=asked.claim,
        verdict=verdict,
        expected=asked.expected,
        reason=reason,
        outcomes=outcomes,
        caveats=tuple(dict.fromkeys(caveats(record, asked, outcomes))),
        post_hoc=changes,
    )


@dataclass(frozen=True)
class _Bench:
    """What was observed, and what is asked of it."""

    record: Record
    arrays: Arrays
    asked: Hypothesis

    def judge(self, intervention: str, expectation: AnyExpectation) -> Iterator[Judged]:
        """One outcome for each split that has prompts."""
        spec = self.asked.interventions[intervention]
        for split in _SPLITS:
            prompts = self._of_split(spec.prompts, split)
            if prompts:
                wording = word(expectation, spec.doses, self._shower(prompts))
                found = [self._on(intervention, expectation, prompt) for prompt in prompts]
                outcome = gather(intervention, split, wording, expectation.mostly, found)
                yield Judged(spec, expectation, wording, outcome)

    def judge_graph(self) -> Iterator[Judged]:
        """Outcomes of what is expected of the attribution graphs."""
        spec = self.asked.graph
        for expectation in spec.expect if spec else ():
            assert spec is not None
            for split in _SPLITS:
                prompts = self._of_split(spec.prompts, split)
                if prompts:
                    wording = word_edge(expectation)
                    found = [judge_edge(self.record, expectation, prompt) for prompt in prompts]
                    outcome = gather(GRAPH, split, wording, expectation.mostly, found)
                    yield Judged(spec, expectation, wording, outcome)

    def _of_split(self, prompts: Sequence[str], split: SplitName) -> list[str]:
        held_out = split == "held out"
        return [p for p in prompts if self.asked.prompts[p].held_out == held_out]

    def _on(self, intervention: str, expectation: AnyExpectation, prompt: str) -> PromptOutcome:
        observed = self.record.interventions.get(intervention)
        trial = observed.trials.get(prompt) if observed else None
        if trial is None:
            return untested(prompt, "it was not measured: the run is incomplete")
        problem = trial_problem(self.record, trial) or self._reads_problem(expectation)
        if problem is not None:
            return untested(prompt, problem)
        doses = self.asked.interventions[intervention].doses
        return judge_case(expectation, doses, self._case(intervention, trial))

    def _reads_problem(self, expectation: AnyExpectation) -> str | None:
        """Why the supernode that is read may not be what it is called."""
        if not isinstance(expectation, Fraction):
            return None
        name = expectation.supernode
        return source_problem(self.record, name, found_on(self.record, name))

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
            controls=ControlReadings(
                tokens, array("logits", (0, len(tokens))), array("logsumexp", (0,))
            ),
            seed=self.asked.seed,
        )

    def _shower(self, prompts: Sequence[str]) -> Callable[[str], str]:
        """Writes a token as it reads on these prompts, or as in the file where they differ."""

        def show(written: str) -> str:
            read = {render_token(written, self.asked.prompts[prompt]) for prompt in prompts}
            return show_token(read.pop() if len(read) == 1 else written)

        return show
