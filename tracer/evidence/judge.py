"""From measurements to a verdict: the only place that says whether a claim held.

Judging reads a record and its arrays, never a model, so a run can be judged again at any time, and
by another hypothesis than it was measured with. Claims, expectations, splits and labels may change,
and prompts, interventions or doses may be left out; `tracer.evidence.post_hoc` lists each change.
Whatever would have been measured differently needs a new run (`check_measured`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracer.errors import UsageError, dotted
from tracer.evidence.across import is_across, judge_across
from tracer.evidence.caveats import caveats
from tracer.evidence.conclusion import Judged, conclude, of_vacuous, unforeseen
from tracer.evidence.context import JudgedOutcomes, JudgingContext
from tracer.evidence.measures.registry import all_expectations, graph_measure_of
from tracer.evidence.outcomes import corrected, split_outcome, with_means
from tracer.evidence.post_hoc import ABSENT, Change, PostHoc, changes_between, post_hoc
from tracer.evidence.robustness import (
    compare_variants,
    in_a_sentence,
    judge_robustness,
    variation_caveats,
)
from tracer.evidence.strength import direct_notes
from tracer.evidence.studies.registry import judge_studies, missing
from tracer.evidence.wording import counted, intervention_words
from tracer.hypothesis.check import asked_tokens
from tracer.hypothesis.expectations.attends import Attends
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.because import Because
from tracer.hypothesis.expectations.carried import Carried
from tracer.hypothesis.expectations.python import Python
from tracer.hypothesis.implied import all_interventions, measurable_variations, repeated
from tracer.hypothesis.partial import parts_of
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.studies.graph import GRAPH, GraphSpec
from tracer.hypothesis.studies.registry import STUDIES
from tracer.hypothesis.studies.study import Study
from tracer.hypothesis.template import render_token
from tracer.record.arrays import Arrays, Variants, check_arrays
from tracer.record.record import Record
from tracer.record.trials import Trial
from tracer.record.verdict import RULES, RobustnessVerdict, Verdict

_JUDGED_ONLY = ("hypothesis", "claim", "source", "tags", "expected")
_MAY_GO = ("prompts", "interventions", "supernodes")
_STUDIES = {kind.SECTION: kind for kind in STUDIES}
_NO_VARIANTS: Variants = {}


def judge_run(
    record: Record,
    arrays: Arrays,
    *,
    hypothesis: Hypothesis | None = None,
    variants: Variants = _NO_VARIANTS,
    is_edited: bool = False,
) -> Verdict:
    """Judge every expectation of a run.

    Args:
        record: what was observed.
        arrays: the tensors beside it.
        hypothesis: other expectations than the run was made with; what differs is listed in
            `post_hoc`.
        variants: the variations of the run that were measured.
        is_edited: whether its files are not as they were written.

    Raises:
        UsageError: The arrays do not fit the record, or the hypothesis asks for what was not
            measured.
    """
    check_arrays(record, arrays)
    asked = hypothesis or record.hypothesis
    check_measured(record, asked)
    changed = post_hoc(record, asked)
    context = JudgingContext(record, arrays, asked)
    judged = corrected(
        [
            *judge_interventions(context),
            *judge_studies(context),
            *_graphs(context),
        ]
    )
    varied = _varied(record, arrays, asked, variants)
    of_variants = list(judge_robustness(asked, varied)) if varied else []
    measured_here = tuple(one.outcome for one in with_means(judged, asked))
    edited = ["measurements as they were written: they were edited"] if is_edited else []
    late = list(_measured_before(record, asked, changed))
    lacks = (*edited, *late, *of_vacuous(judged), *missing(context, judged))
    verdict, reason = conclude(record, asked, [*judged, *of_variants], lacks)
    cautions = [
        *changed.caveats(),
        *caveats(record, asked, measured_here, tuple(direct_notes(context))),
    ]
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
        rules=RULES,
        missing=lacks if verdict == "consistent" else (),
        unforeseen=unforeseen(asked, judged),
        reason=reason,
        outcomes=(*measured_here, *(one.outcome for one in of_variants)),
        robustness=varied,
        caveats=tuple(dict.fromkeys(cautions)),
        post_hoc=changed.sentences,
        registered=changed.registered,
    )


def _measured_before(record: Record, asked: Hypothesis, changed: PostHoc) -> Iterator[str]:
    """Expectations that may have been chosen by someone who knew the numbers."""
    if changed.sentences:
        yield f"a file that was fixed before measuring: {len(changed.sentences)} parts were changed"
    elif record.known_before:
        n = counted(len(record.known_before), "trial")
        yield (
            f"a file that was fixed before measuring: {n} had been measured before, when something "
            "else was expected"
        )


def _varied(
    record: Record, arrays: Arrays, asked: Hypothesis, variants: Variants
) -> RobustnessVerdict | None:
    """The verdicts on variations; None where the file asks for none."""
    if asked.robustness is None:
        return None
    base = judge_run(record, arrays, hypothesis=repeated(asked))
    verdicts = {
        each.name: judge_run(*variants[each.name], hypothesis=each.hypothesis)
        for each in measurable_variations(asked)
        if each.name in variants
    }
    return compare_variants(record, asked, base, verdicts)


def judge_alone(record: Record, arrays: Arrays) -> JudgedOutcomes:
    """What a record's interventions were expected to do, judged without the rest of its file."""
    declared = record.hypothesis
    context = JudgingContext(record, arrays, declared)
    return JudgedOutcomes(declared, (one.outcome for one in judge_interventions(context)))


def judge_interventions(context: JudgingContext) -> Iterator[Judged]:
    """Outcomes of what is expected of each intervention."""
    for name, spec in context.asked.interventions.items():
        where = f"with {intervention_words(spec)}"
        for expectation in all_expectations(spec):
            for split, prompts in context.splits(spec.prompts):
                wording = context.word(expectation, spec, prompts)
                if is_across(expectation):
                    outcome = judge_across(
                        context, name, [name], expectation, split, prompts, wording
                    )
                else:
                    found = [context.on(name, expectation, prompt) for prompt in prompts]
                    outcome = split_outcome(name, split, wording, expectation.mostly, found)
                yield Judged(where, expectation, wording, outcome)


def _graphs(context: JudgingContext) -> Iterator[Judged]:
    """Outcomes of what is expected of the attribution graphs."""
    spec = context.asked.graph
    for expectation in spec.expect if spec else ():
        assert spec is not None
        measure = graph_measure_of(expectation)
        for split, prompts in context.splits(spec.prompts):
            wording = measure.word(expectation)
            found = [measure.judge(context.record, expectation, prompt) for prompt in prompts]
            outcome = split_outcome(GRAPH, split, wording, expectation.mostly, found)
            yield Judged(measure.where, expectation, wording, outcome)


def check_measured(record: Record, hypothesis: Hypothesis) -> None:
    """Refuse a hypothesis that asks for what a run did not measure.

    Raises:
        UsageError: All of it at once.
    """
    changes = changes_between(record.hypothesis, hypothesis)
    unmeasured = [change.told("measured with") for change in changes if _needs_measuring(change)]
    unmeasured += _unmeasured(record, hypothesis)
    if hypothesis.graph is not None:
        unmeasured += _unmeasured_of_graphs(record, hypothesis.graph)
    if unmeasured:
        raise UsageError(
            f"run {record.id} does not have what this asks for; make a new run for it:\n"
            + "\n".join(f"  {text}" for text in dict.fromkeys(unmeasured))
        )


def _unmeasured(record: Record, hypothesis: Hypothesis) -> Iterator[str]:
    """Readings that the expectations ask for and the run lacks."""
    for path, written, prompts in asked_tokens(parts_of(hypothesis)):
        for prompt in prompts:
            if prompt in record.prompts:
                token = render_token(written, hypothesis.prompts[prompt])
                if token not in record.prompts[prompt].baseline.tokens:
                    yield f"{dotted(path)}: the token {token!r} was not read on {prompt}"
    for name, spec in all_interventions(hypothesis).items():
        trials = record.interventions[name].trials if name in record.interventions else {}
        for expectation in spec.expect:
            missing = (s for s in expectation.supernodes() if s not in record.supernodes)
            yield from (f"{name}: no supernode {s!r} was measured" for s in missing)
            if isinstance(expectation, Python) and _is_unasked(expectation, trials.values()):
                function = expectation.python
                yield f"{name}: the Python function {function} was not asked, as it is now"
            if isinstance(expectation, Attends):
                key = expectation.attends.key
                made = [(n, trial) for n, trial in trials.items() if trial.problem is None]
                lacking = [n for n, trial in made if key not in trial.attends]
                yield from (f"{name}: the attention {key} was not read on {n}" for n in lacking)
            for trial in trials.values() if expectation.is_compared else ():
                yield from _unread_by_controls(name, expectation, hypothesis, trial)


def _unmeasured_of_graphs(record: Record, spec: GraphSpec) -> Iterator[str]:
    """What heads are expected to do in graphs that say nothing of it."""
    made = {name: graph for name, graph in record.graphs.items() if name in spec.prompts}
    for each in spec.expect:
        for prompt, graph in made.items():
            if isinstance(each, Carried) and each.carried.key not in graph.carried:
                yield f"{GRAPH}: the part {each.carried.key} was not measured on {prompt}"
            if isinstance(each, Because) and each.because.name not in graph.reasons:
                yield f"{GRAPH}: the reason {each.because.name} was not measured on {prompt}"
            if isinstance(each, Attends) and each.attends.key not in graph.looks:
                yield f"{GRAPH}: the attention {each.attends.key} was not read on {prompt}"


def _is_unasked(expectation: Python, trials: Iterable[Trial]) -> bool:
    """Whether a function, with this text, has said nothing of some trial."""
    return any(expectation.sha256 not in trial.python for trial in trials)


def _needs_measuring(change: Change) -> bool:
    """Whether the new value would have been measured differently."""
    head, *rest = change.path
    if head in _JUDGED_ONLY:
        return False
    if head in _STUDIES:
        return _study_needs_measuring(_STUDIES[str(head)], change)
    match head, rest:
        case ("prompts", [_, "held_out" | "group"]) | ("supernodes", [_, "label"]):
            return False
        case (_, ["expect", *_] | [_, "expect", *_] | [_, "doses", "expect", *_]):
            return False
        case ("robustness", inner):
            fewer = change.new is ABSENT or change.new is False
            return inner[:1] == ["of"] or not fewer
        case ("graph", [] | ["prompts", _]):
            return change.new is not ABSENT
        case ("interventions", [_, "generate"]):
            return change.new is not ABSENT
        case ("interventions", [_, "doses"] | [_, "prompts", _] | [_, "doses", "factors", _]):
            return change.new is not ABSENT
        case _:
            return head not in _MAY_GO or len(rest) != 1 or change.new is not ABSENT


def _study_needs_measuring(kind: type[Study], change: Change) -> bool:
    match change.path[2:]:
        case (key, *_) if key in kind.JUDGED_ONLY:
            return False
        case () | (_, _) if change.new is ABSENT:
            return bool(change.path[2:]) and change.path[2] not in kind.MAY_SHRINK
        case _:
            return True


def _unread_by_controls(
    name: str, expectation: Expectation, hypothesis: Hypothesis, trial: Trial
) -> Iterator[str]:
    if trial.n_controls == 0 or trial.prompt not in hypothesis.prompts:
        return
    for written in (token for tokens in expectation.tokens().values() for token in tokens):
        token = render_token(written, hypothesis.prompts[trial.prompt])
        if token not in trial.control_tokens:
            yield f"{name}: the token {token!r} was not read under controls"
