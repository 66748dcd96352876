"""Necessity: the expectation must hold however the supernodes are taken away.

On each prompt the weakest kind decides. How much the effect differs between kinds is told beside
it, since an effect that only one kind of ablation has may be that kind's own doing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracer.evidence.across import is_across, judge_across
from tracer.evidence.conclusion import Judged
from tracer.evidence.context import JudgingContext
from tracer.evidence.measures.registry import word
from tracer.evidence.outcomes import split_outcome
from tracer.evidence.wording import named
from tracer.hypothesis.expectations.registry import Expectation
from tracer.hypothesis.studies.necessity import Necessity, necessity_interventions
from tracer.record.verdict import PromptOutcome, rank


def judge_necessity(bench: JudgingContext) -> Iterator[Judged]:
    """Outcomes of every claim of necessity, kinds taken together."""
    for name, study in bench.asked.necessity.items():
        for expectation in study.expect:
            for split, prompts in bench.splits(study.prompts):
                wording = word(expectation, None, bench.shower(prompts))
                if is_across(expectation):
                    names = [kind for kind, _ in necessity_interventions(name, study)]
                    outcome = judge_across(bench, name, names, expectation, split, prompts, wording)
                else:
                    found = [_on(bench, name, study, expectation, prompt) for prompt in prompts]
                    outcome = split_outcome(name, split, wording, expectation.mostly, found)
                yield Judged(f"with {_ablated(study)}", expectation, wording, outcome)


def _ablated(study: Necessity) -> str:
    return f"{named(study.ablate)} ablated in {len(study.kinds)} ways"


def _on(
    bench: JudgingContext, name: str, study: Necessity, expectation: Expectation, prompt: str
) -> PromptOutcome:
    names = [suffixed for suffixed, _ in necessity_interventions(name, study)]
    found = {each: bench.on(each, expectation, prompt) for each in names}
    return _together({each.removeprefix(f"{name}."): one for each, one in found.items()})


def _together(found: dict[str, PromptOutcome]) -> PromptOutcome:
    """The worst of them, with what each observed."""
    worst_name, worst = min(found.items(), key=lambda item: rank(item[1]))
    if worst.outcome == "untested":
        return worst.model_copy(update={"reason": f"{worst.reason} ({worst_name})"})
    observed = "; ".join(f"{name}: {one.observed}" for name, one in found.items())
    return worst.model_copy(
        update={
            "observed": observed,
            "value": _weakest(list(found.values())),
            "p": _largest([one.p for one in found.values()]),
            "least_p": _largest([one.least_p for one in found.values()]),
        }
    )


def _weakest(found: Sequence[PromptOutcome]) -> float | None:
    """The number nearest to no effect."""
    values = [one.value for one in found if one.value is not None]
    return min(values, key=abs) if values else None


def _largest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if known else None
