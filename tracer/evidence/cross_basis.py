"""Whether a verdict survives a change of the feature basis, from runs of one file on one model.

A dictionary is trained, and what it makes one feature is its choice: a cross-layer set, for one, is
rewarded for writing what takes several steps as one. A claim about a circuit should not hang on it.
So verdicts, expectations, effects and what the supernodes promote are put side by side. Nothing is
tested here: the bases share model and prompts, so agreement has no p.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tracer.evidence.baseline_run import Essentials, essentials
from tracer.evidence.matching import Pair, paired
from tracer.evidence.statistics import pearson
from tracer.evidence.wording import counted, named
from tracer.hypothesis.neuronpedia_ids import find_given
from tracer.record.cross_basis import (
    BasisVerdict,
    CrossBasis,
    EffectsAcross,
    OutcomeAcross,
    SupernodeAcross,
    Survival,
)
from tracer.record.record import Record
from tracer.record.verdict import OutcomeName, Verdict

LARGE = 0.1
"""Nats from which on an effect's sign is compared."""
_N_TOKENS = 6
_OPEN = (None, "inconclusive", "error")
_HELD = {"confirmed", "consistent"}


class InBasis(NamedTuple):
    """One basis: a judged run, or why there is none."""

    features: str
    record: Record | None
    verdict: Verdict | None
    problem: str


def across_bases(hypothesis: str, model: str, found: Sequence[InBasis]) -> CrossBasis:
    """Put runs that differ in nothing but their basis beside each other; two at least."""
    kept = [_kept(each) for each in found]
    bases = tuple(map(_verdict, found))
    outcomes = tuple(_outcomes(kept))
    survival = _survival([each.verdict for each in bases])
    return CrossBasis(
        hypothesis=hypothesis,
        model=model,
        bases=bases,
        survival=survival,
        sentence=_sentence(survival, bases, outcomes),
        outcomes=outcomes,
        effects=tuple(_effects([each.features for each in found], kept)),
        supernodes=tuple(_supernodes([each.record for each in found])),
    )


def _kept(each: InBasis) -> Essentials | None:
    if each.record is None or each.verdict is None:
        return None
    return essentials(each.record, each.verdict)


def _verdict(each: InBasis) -> BasisVerdict:
    verdict, record = each.verdict, each.record
    if verdict is None or record is None:
        return BasisVerdict(features=each.features, run=None, verdict=None, reason=each.problem)
    return BasisVerdict(
        features=each.features, run=record.id, verdict=verdict.verdict, reason=verdict.reason
    )


def _survival(verdicts: Sequence[str | None]) -> Survival:
    decided = {each for each in verdicts if each not in _OPEN}
    if "refuted" in decided and decided & _HELD:
        return "does not survive"
    if any(each in _OPEN for each in verdicts):
        return "open"
    return "survives" if len(decided) == 1 else "weaker"


def _sentence(
    survival: Survival, bases: Sequence[BasisVerdict], outcomes: Sequence[OutcomeAcross]
) -> str:
    by_word: dict[str, list[str]] = {}
    for each in bases:
        by_word.setdefault(each.verdict or "not run", []).append(each.features)
    told = "; ".join(f"{word} in {named(names)}" for word, names in by_word.items())
    if all(each.verdict == "refuted" for each in bases) and not any(
        set(each.outcomes) == {"failed"} for each in outcomes
    ):
        told += ", but no expectation failed in all of them"
    n_other = sum(len(set(each.outcomes)) > 1 for each in outcomes)
    if n_other and survival in ("survives", "weaker"):
        told += f"; {n_other} of {counted(len(outcomes), 'expectation')} came out otherwise"
    return {
        "survives": "the verdict survives the change of basis",
        "weaker": "it holds in every basis, with less evidence in some",
        "does not survive": "the verdict does not survive the change of basis",
        "open": "whether the verdict survives the change of basis is open",
    }[survival] + f": {told}"


def _outcomes(kept: Sequence[Essentials | None]) -> Iterator[OutcomeAcross]:
    """The expectations of the first run that there is, in its order."""
    first = next((each for each in kept if each is not None), None)
    if first is None:
        return
    columns = [_column(first, each) for each in kept]
    for place, outcome in enumerate(first.outcomes):
        name = Pair(None, outcome).name
        yield OutcomeAcross(name=name, outcomes=tuple(column[place] for column in columns))


def _column(first: Essentials, other: Essentials | None) -> list[OutcomeName | None]:
    if other is None:
        return [None] * len(first.outcomes)
    pairs = paired(first.outcomes, other.outcomes)
    found: dict[int, OutcomeName | None] = {
        id(each.old): each.new.outcome for each in pairs if each.old and each.new
    }
    return [found.get(id(outcome)) for outcome in first.outcomes]


def _effects(features: Sequence[str], kept: Sequence[Essentials | None]) -> Iterator[EffectsAcross]:
    """Those of each basis against those of the first."""
    first = kept[0]
    if first is None:
        return
    before = _listed(first)
    for name, other in zip(features[1:], kept[1:], strict=True):
        if other is None:
            continue
        after = _listed(other)
        both = [(before[key], after[key]) for key in before if key in after]
        large = [(a, b) for a, b in both if max(abs(a), abs(b)) >= LARGE]
        yield EffectsAcross(
            features=name,
            n=len(both),
            n_large=len(large),
            n_same_sign=sum(a * b > 0 for a, b in large),
            correlation=pearson([a for a, _ in both], [b for _, b in both]),
        )


def _listed(kept: Essentials) -> dict[tuple[str, str, str], float]:
    """Effects by intervention, prompt and token."""
    return {
        (intervention, prompt, token): effect
        for intervention, prompts in kept.effects.items()
        for prompt, tokens in prompts.items()
        for token, effect in tokens.items()
    }


def _supernodes(records: Sequence[Record | None]) -> Iterator[SupernodeAcross]:
    there = [record for record in records if record is not None]
    for name in dict.fromkeys(name for record in there for name in record.supernodes):
        tokens = tuple(_promoted(record, name) for record in records)
        shared = tuple(t for t in tokens[0] if all(t in others for others in tokens[1:]))
        yield SupernodeAcross(
            name=name,
            n_members=tuple(_n_members(record, name) for record in records),
            tokens=tokens,
            shared=shared,
        )


def _n_members(record: Record | None, name: str) -> int | None:
    found = record.supernodes.get(name) if record else None
    return len(found.members) if found else None


def _promoted(record: Record | None, name: str) -> tuple[str, ...]:
    """Tokens that members promote, the most often named first, as far as graphs tell of them."""
    if record is None or name not in record.supernodes:
        return ()
    members = {(ref.layer, ref.index) for ref in record.supernodes[name].features}
    told: dict[tuple[int, int], tuple[str, ...]] = {}
    for graph in record.graphs.values():
        for id_, said in graph.features.items():
            given = find_given(id_)
            if given is not None and (given.layer, given.feature) in members:
                told.setdefault((given.layer, given.feature), said.promotes)
    # Half of a character, as byte-level tokens hold it, names nothing.
    counts = Counter(t for tokens in told.values() for t in tokens if "\ufffd" not in t)
    return tuple(token for token, _ in counts.most_common(_N_TOKENS))
