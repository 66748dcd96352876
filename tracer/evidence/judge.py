"""From measurements to a verdict: the only place that says whether a claim held.

Judging reads a record and its arrays, never a model, so a run can be judged again at any time, and
by other thresholds than it was made with.
"""

from __future__ import annotations

from collections.abc import Iterator

from tracer.arrays import Arrays, Variants, check_arrays
from tracer.evidence.across import is_across, judge_across
from tracer.evidence.bench import Bench, JudgedOutcomes
from tracer.evidence.caveats import caveats
from tracer.evidence.circuits import judge_circuits
from tracer.evidence.conclusion import Judged, conclude
from tracer.evidence.edges import judge_edge, word_edge
from tracer.evidence.expectations import all_expectations, word
from tracer.evidence.means import with_means
from tracer.evidence.mediation import judge_mediation
from tracer.evidence.multiplicity import corrected
from tracer.evidence.necessity import judge_necessity
from tracer.evidence.outcomes import gather
from tracer.evidence.post_hoc import post_hoc
from tracer.evidence.rejudging import check_measured
from tracer.evidence.robustness import (
    compare_variants,
    in_a_sentence,
    judge_robustness,
    variation_caveats,
)
from tracer.evidence.sharing import judge_shared
from tracer.evidence.swaps import judge_swaps
from tracer.evidence.verdict import Robustness, Verdict
from tracer.evidence.wording import clamp_words
from tracer.hypothesis.graph_rules import GRAPH
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.variations import measurable, repeated
from tracer.record import Record

_NO_VARIANTS: Variants = {}


def judge(
    record: Record,
    arrays: Arrays,
    *,
    hypothesis: Hypothesis | None = None,
    variants: Variants = _NO_VARIANTS,
) -> Verdict:
    """Judge every expectation of a run.

    Args:
        record: what was observed.
        arrays: the tensors beside it.
        hypothesis: other expectations than the run was made with; what differs is listed in
            `post_hoc`.
        variants: the variations of the run that were measured.

    Raises:
        UsageError: The arrays do not fit the record, or the hypothesis asks for what was not
            measured.
    """
    check_arrays(record, arrays)
    asked = hypothesis or record.hypothesis
    check_measured(record, asked)
    changed = post_hoc(record, asked)
    bench = Bench(record, arrays, asked)
    judged = corrected(
        [
            *judge_interventions(bench),
            *judge_necessity(bench),
            *judge_mediation(bench),
            *judge_swaps(bench),
            *_graphs(bench),
            *judge_circuits(bench),
            *judge_shared(bench),
        ]
    )
    varied = _varied(record, arrays, asked, variants)
    of_variants = list(judge_robustness(asked, varied)) if varied else []
    measured_here = tuple(one.outcome for one in with_means(judged, asked))
    verdict, reason = conclude(record, asked, [*judged, *of_variants])
    cautions = [*changed.caveats(), *caveats(record, asked, measured_here)]
    if varied is not None:
        reason = f"{reason}; {in_a_sentence(varied, verdict)}"
        cautions += variation_caveats(varied)
    return Verdict(
        schema="tracer.verdict/1",
        run=record.id,
        hypothesis=asked.hypothesis,
        claim=asked.claim,
        verdict=verdict,
        expected=asked.expected,
        reason=reason,
        outcomes=(*measured_here, *(one.outcome for one in of_variants)),
        robustness=varied,
        caveats=tuple(dict.fromkeys(cautions)),
        post_hoc=changed.sentences,
        registered=changed.registered,
    )


def _varied(
    record: Record, arrays: Arrays, asked: Hypothesis, variants: Variants
) -> Robustness | None:
    """The verdicts on variations; None where the file asks for none."""
    if asked.robustness is None:
        return None
    base = judge(record, arrays, hypothesis=repeated(asked))
    verdicts = {
        each.name: judge(*variants[each.name], hypothesis=each.hypothesis)
        for each in measurable(asked)
        if each.name in variants
    }
    return compare_variants(record, asked, base, verdicts)


def judge_alone(record: Record, arrays: Arrays) -> JudgedOutcomes:
    """What a record's interventions were expected to do, judged without the rest of its file."""
    declared = record.hypothesis
    bench = Bench(record, arrays, declared)
    return JudgedOutcomes(declared, (one.outcome for one in judge_interventions(bench)))


def judge_interventions(bench: Bench) -> Iterator[Judged]:
    """Outcomes of what is expected of each intervention."""
    for name, spec in bench.asked.interventions.items():
        where = f"with {clamp_words(spec.clamp)}"
        for expectation in all_expectations(spec):
            for split, prompts in bench.splits(spec.prompts):
                wording = word(expectation, spec.doses, bench.shower(prompts))
                if is_across(expectation):
                    outcome = judge_across(
                        bench, name, [name], expectation, split, prompts, wording
                    )
                else:
                    found = [bench.on(name, expectation, prompt) for prompt in prompts]
                    outcome = gather(name, split, wording, expectation.mostly, found)
                yield Judged(where, expectation, wording, outcome)


def _graphs(bench: Bench) -> Iterator[Judged]:
    """Outcomes of what is expected of the attribution graphs."""
    spec = bench.asked.graph
    for expectation in spec.expect if spec else ():
        assert spec is not None
        for split, prompts in bench.splits(spec.prompts):
            wording = word_edge(expectation)
            found = [judge_edge(bench.record, expectation, prompt) for prompt in prompts]
            outcome = gather(GRAPH, split, wording, expectation.mostly, found)
            yield Judged("in the attribution graph,", expectation, wording, outcome)
