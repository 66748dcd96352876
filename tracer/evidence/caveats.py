"""What a reader of a verdict must be careful about, worked out from the record."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence

from tracer.evidence.measures.edge import total
from tracer.evidence.statistics import wilson
from tracer.evidence.wording import counted, named, p_text, signed
from tracer.hypothesis.expectations.python import Python
from tracer.hypothesis.held_out import near_twins
from tracer.hypothesis.implied import all_interventions
from tracer.hypothesis.spec import Hypothesis
from tracer.record.record import Record
from tracer.record.verdict import Outcome

_UNNATURAL = 0.1
"""Share of a supernode's features that may be set beyond their range without a word."""
FEW = 5
"""Prompts below which even a clean sweep says little of a rate."""


def caveats(
    record: Record, hypothesis: Hypothesis, outcomes: Sequence[Outcome], direct: Sequence[str] = ()
) -> Iterator[str]:
    """Short sentences, the weightiest first; `direct` says what the clamps write themselves."""
    if record.status == "measuring":
        yield "the run is incomplete: it was stopped before everything was measured"
    if hypothesis.expected == "refuted":
        yield "the file expects to be refuted: it states a negative result"
    yield from _prompts(hypothesis)
    yield from _code(hypothesis)
    yield from _untested(outcomes)
    yield from _supernodes(record, hypothesis)
    yield from _graphs(record)
    yield from _overlaps(record)
    yield from _unnatural(record)
    yield from _neutral(record)
    yield from direct
    yield from _circuits(record)
    yield from _comparisons(hypothesis, outcomes)
    if record.model.dtype not in ("float32", "float64"):
        yield f"measured in {record.model.dtype}: small differences may be rounding"
        yield (
            "in half precision small effects and edges can be off by factors: 1.3 to 5.6 times is "
            "reported of small edges of another engine, and 10 % of the strongest (circuit-tracer, "
            "issue 53); float32 tells"
        )
    yield from record.lock_notes
    yield from record.notes


def _prompts(hypothesis: Hypothesis) -> Iterator[str]:
    used = {name for spec in all_interventions(hypothesis).values() for name in spec.prompts}
    if not used:
        return
    n_held_out = sum(hypothesis.prompts[name].held_out for name in used)
    found = any(node.select is not None for node in hypothesis.supernodes.values())
    if n_held_out == 0:
        where = "the prompts they were found on" if found else "discovery prompts only"
        yield f"no held-out prompts: the supernodes are judged on {where}"
    for name, twin in near_twins(hypothesis):
        yield f"nearly the same text: {name} (discovery) and {twin} (held out)"
    n, split = (n_held_out, "held-out") if n_held_out else (len(used), "discovery")
    if n < FEW:
        yield (
            f"only {counted(n, f'{split} prompt')}: even {n} of {n} allows a true rate as low as "
            f"{wilson(n, n)[0]:.2f} (95 % Wilson)"
        )
    if any(hypothesis.prompts[name].messages for name in used):
        yield "chat prompts: the model's own chat template is part of what was tested"


def _code(hypothesis: Hypothesis) -> Iterator[str]:
    """That a verdict rests on code, which a reader must read to know what was tested."""
    specs = all_interventions(hypothesis).values()
    found = {
        f"{each.python} (SHA-256 {(each.sha256 or '')[:12]})"
        for spec in specs
        for each in spec.expect
        if isinstance(each, Python)
    }
    if found:
        yield (
            f"judged by Python code, {', '.join(sorted(found))}: what it tests is its author's "
            "word; its text is in the report, and what it calls is in no record"
        )


def _untested(outcomes: Sequence[Outcome]) -> Iterator[str]:
    n = sum(len(outcome.prompts) for outcome in outcomes)
    n_untested = sum(outcome.n_untested for outcome in outcomes)
    if n_untested:
        yield f"{n_untested} of {counted(n, 'test')} on single prompts could not be made"


def _supernodes(record: Record, hypothesis: Hypothesis) -> Iterator[str]:
    alone: dict[str, list[str]] = {}
    for name, spec in hypothesis.supernodes.items():
        if spec.select is not None and len(spec.select.on) == 1:
            alone.setdefault(spec.select.on[0], []).append(name)
    for prompt, names in alone.items():
        verb = "was" if len(names) == 1 else "were"
        yield f"{named(names)} {verb} found on one prompt ({prompt}) and may carry its own identity"
    shares = [
        f"{name} {100 * node.share:.3g} %"
        for name, node in record.supernodes.items()
        if node.share is not None and name in hypothesis.supernodes
    ]
    if shares:
        yield f"each supernode's share of its rule's positive scores: {', '.join(shares)}"


def _graphs(record: Record) -> Iterator[str]:
    for prompt, graph in record.graphs.items():
        yield (
            f"the graph of {prompt} keeps {graph.n_features:,} of {graph.n_active:,} active "
            f"features, which carry {100 * graph.relevance_share:.0f} % of the relevance; the "
            "rest is in its error nodes"
        )
        if graph.ablations:
            free = total(graph.ablations, free=True)
            slope = "not defined" if free.slope is None else signed(free.slope)
            yield (
                f"of {counted(free.n, 'ablation')}, nothing held, {free.same_sign} went the way "
                f"that the graph of {prompt} says; slope of measured on predicted {slope}, where "
                "1 is right"
            )


def _neutral(record: Record) -> Iterator[str]:
    for name, intervention in record.interventions.items():
        kls = [kl for trial in intervention.trials.values() for kl in trial.neutral_kl]
        if kls:
            yield (
                f"{name} has factors beyond 0 to 2; its values at the last token of neutral text "
                f"change the next token there by {statistics.median(kls):.2g} nats (median KL)"
            )


def _circuits(record: Record) -> Iterator[str]:
    for name, circuit in record.circuit.items():
        if circuit.n_outside:
            yield f"circuit {name}: {circuit.n_outside} of its features lie outside its scope"
        yield from (f"circuit {name}: {note}" for note in circuit.notes)


def _overlaps(record: Record) -> Iterator[str]:
    shared: dict[str, int] = {}
    for name, intervention in record.interventions.items():
        trials = intervention.trials.values()
        n = max((sum(c.n_overridden for c in trial.clamps) for trial in trials), default=0)
        if n:
            shared[name] = n
    if len(shared) <= FEW:
        for name, n in shared.items():
            word = _unit(record, [name])
            yield f"{name}: its clamps share {counted(n, word)}; the later clamp sets it"
    else:
        yield (
            f"the clamps of {len(shared)} interventions share up to "
            f"{counted(max(shared.values()), _unit(record, shared))}; the later clamp sets them"
        )


def _unit(record: Record, interventions: Iterable[str]) -> str:
    """What the clamps of interventions set: features, heads, or both."""
    trials = (t for name in interventions for t in record.interventions[name].trials.values())
    units = {record.supernodes[clamp.supernode].unit for t in trials for clamp in t.clamps}
    return units.pop() if len(units) == 1 else "member"


def _unnatural(record: Record) -> Iterator[str]:
    """Clamps that set features to what they never are, or beyond twice their sources."""
    for name, made in record.interventions.items():
        clamps = [clamp for trial in made.trials.values() for clamp in trial.clamps]
        for node in dict.fromkeys(clamp.supernode for clamp in clamps):
            mine = [clamp for clamp in clamps if clamp.supernode == node and clamp.n_features]
            most = max(
                mine, key=lambda clamp: clamp.n_out_of_range / clamp.n_features, default=None
            )
            if most is None or most.n_out_of_range <= _UNNATURAL * most.n_features:
                continue
            unit = record.supernodes[node].unit
            ratio = most.write_norm / most.output_norm if most.output_norm else None
            size = f"; the write is {ratio:.1f} times what the layers write there" if ratio else ""
            yield (
                f"{name}: up to {most.n_out_of_range} of {counted(most.n_features, unit)} of "
                f"{node} are set beyond all that they are on the file's prompts{size}"
            )


def _comparisons(hypothesis: Hypothesis, outcomes: Sequence[Outcome]) -> Iterator[str]:
    if hypothesis.controls.random == 0:
        yield "no controls: a random clamp of the same size might do the same"
    ps = [o.p_adjusted for o in outcomes if o.p_adjusted is not None]
    if ps:
        yield (
            f"each p is that of the prompt that decides, {_pooled(outcomes)}, and all expectations "
            f"are corrected together (Holm): the highest is {p_text(max(ps))}"
        )


def _pooled(outcomes: Sequence[Outcome]) -> str:
    across = any(outcome.needed == 0 for outcome in outcomes)
    return "but of tests across prompts that of all of them" if across else "none is pooled"
