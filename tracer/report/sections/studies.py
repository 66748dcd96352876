"""Studies as the report shows them: kinds of ablation, mediated shares, swap matrices."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tracer.evidence.context import JudgedOutcomes
from tracer.evidence.statistics import wilson
from tracer.evidence.studies.mediation import LEAST_EFFECT
from tracer.evidence.studies.swaps import ARROW, recipient_of
from tracer.hypothesis.studies.mediation import HELD, TOTAL, Mediation
from tracer.hypothesis.studies.necessity import Necessity, necessity_interventions
from tracer.hypothesis.studies.swaps import Swaps
from tracer.record.record import Record
from tracer.record.verdict import PromptOutcome, Verdict
from tracer.report.effects import EffectComparison, Measure, compare, measures
from tracer.report.limits import MAX_FAILURES, cut
from tracer.report.text import number, plural, signed

_SPLITS = ((False, "discovery"), (True, "held out"))


@dataclass(frozen=True)
class KindRow:
    """One way of ablating."""

    kind: str
    cells: tuple[str, ...]
    """Median change on discovery prompts, then on held-out ones."""


@dataclass(frozen=True)
class NecessityView:
    """A claim of necessity: the change under every kind of ablation."""

    name: str
    ablated: str
    measure: str | None
    rows: tuple[KindRow, ...]
    spread: str


@dataclass(frozen=True)
class ShareRow:
    """Mediation on one prompt."""

    prompt: str
    split: str
    total: str
    held: str
    share: str


@dataclass(frozen=True)
class MediationView:
    """One logit difference of a claim of mediation."""

    name: str
    through: str
    measure: str
    rows: tuple[ShareRow, ...]


@dataclass(frozen=True)
class SwapCell:
    """One pair of concepts on one split; `None` in its place is the diagonal."""

    text: str
    title: str
    shade: int
    """From 0, nothing succeeded, to 4, everything did; the text says it too."""


@dataclass(frozen=True)
class SwapMatrix:
    """Recipients down, donors across, on one split."""

    split: str
    rows: tuple[tuple[str, tuple[SwapCell | None, ...]], ...]
    failures: tuple[str, ...]
    unlisted: str
    """How many more failures there are; empty where all are listed."""


@dataclass(frozen=True)
class SwapView:
    """A swap matrix on both splits."""

    name: str
    donors: tuple[str, ...]
    matrices: tuple[SwapMatrix, ...]


@dataclass(frozen=True)
class Studies:
    """Everything of this kind in a run; falsy where there is nothing."""

    necessity: tuple[NecessityView, ...]
    mediation: tuple[MediationView, ...]
    swaps: tuple[SwapView, ...]

    def __bool__(self) -> bool:
        return bool(self.necessity or self.mediation or self.swaps)


def study_views(record: Record, verdict: Verdict) -> Studies:
    """The studies of a run, in the file's order."""
    declared = record.hypothesis
    return Studies(
        necessity=tuple(_necessity(record, *each) for each in declared.necessity.items()),
        mediation=tuple(
            view for each in declared.mediation.items() for view in _mediation(record, *each)
        ),
        swaps=tuple(_swaps(verdict, *each) for each in declared.swaps.items()),
    )


def _label(record: Record, names: Sequence[str]) -> str:
    return ", ".join(record.supernodes[name].label for name in names)


def _necessity(record: Record, name: str, study: Necessity) -> NecessityView:
    specs = dict(necessity_interventions(name, study))
    found = measures(next(iter(specs.values())))
    unjudged = JudgedOutcomes(record.hypothesis)
    by_kind: dict[str, list[EffectComparison]] = {kind: [] for kind in study.kinds}
    for each in specs if found else ():
        if each in record.interventions:
            kind = each.removeprefix(f"{name}.").split("-")[0]
            by_kind[kind] += compare(record, each, found[0], {}, unjudged)
    return NecessityView(
        name=name,
        ablated=_label(record, study.ablate),
        measure=found[0].title if found else None,
        rows=tuple(_kind(kind, each, found[0]) for kind, each in by_kind.items() if found),
        spread=_spread(by_kind),
    )


def _kind(kind: str, found: Sequence[EffectComparison], measure: Measure) -> KindRow:
    cells: list[str] = []
    for held_out, _ in _SPLITS:
        changes = [c.after - c.before for c in found if c.held_out == held_out]
        cells.append(_changes(changes, measure))
    return KindRow(kind, tuple(cells))


def _changes(changes: Sequence[float], measure: Measure) -> str:
    if not changes:
        return "–"
    shown = [
        measure.show(each) for each in (statistics.median(changes), min(changes), max(changes))
    ]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]" if len(changes) > 1 else shown[0]


def _spread(by_kind: dict[str, list[EffectComparison]]) -> str:
    """How much the kinds differ, and on which prompts the sign does."""
    medians = [
        statistics.median(c.after - c.before for c in found) for found in by_kind.values() if found
    ]
    if len(medians) < 2:
        return ""
    mean, sigma = statistics.mean(medians), statistics.stdev(medians)
    told = f"Between kinds: standard deviation {number(sigma)} of a mean change of {signed(mean)}"
    turned = [p for p, signs in _signs(by_kind).items() if len(signs) > 1]
    if not turned:
        return f"{told}; the sign is the same under every kind on every prompt."
    return f"{told}; the sign changes with the kind on {plural(len(turned), 'prompt')}: " + (
        f"{', '.join(turned)}."
    )


def _signs(by_kind: dict[str, list[EffectComparison]]) -> dict[str, set[bool]]:
    signs: dict[str, set[bool]] = {}
    for found in by_kind.values():
        for each in found:
            signs.setdefault(each.prompt, set()).add(each.after > each.before)
    return signs


def _mediation(record: Record, name: str, study: Mediation) -> Iterator[MediationView]:
    unjudged = JudgedOutcomes(record.hypothesis)
    for tokens in dict.fromkeys(each.logit_diff for each in study.expect):
        measure = Measure("logit_diff", tokens, None)
        found = [
            {c.prompt: c for c in compare(record, f"{name}.{suffix}", measure, {}, unjudged)}
            for suffix in (TOTAL, HELD)
            if f"{name}.{suffix}" in record.interventions
        ]
        both = [p for p in found[0] if p in found[1]] if len(found) == 2 else []
        rows = tuple(_share(found[0][prompt], found[1][prompt]) for prompt in both)
        yield MediationView(name, _label(record, study.through), measure.title, rows)


def _share(total: EffectComparison, held: EffectComparison) -> ShareRow:
    whole, rest = total.after - total.before, held.after - held.before
    return ShareRow(
        prompt=total.prompt,
        split=_SPLITS[total.held_out][1],
        total=signed(whole),
        held=signed(rest),
        share=number(1 - rest / whole) if abs(whole) >= LEAST_EFFECT else "too small an effect",
    )


def _swaps(verdict: Verdict, name: str, study: Swaps) -> SwapView:
    matrices = [
        _matrix(outcome.split, study, outcome.prompts)
        for outcome in verdict.outcomes
        if outcome.intervention == name
    ]
    return SwapView(name, tuple(study.concepts), tuple(matrices))


def _matrix(split: str, study: Swaps, found: Sequence[PromptOutcome]) -> SwapMatrix:
    cells: dict[tuple[str, str], list[PromptOutcome]] = {}
    for one in found:
        prompt, donor = one.prompt.rsplit(ARROW, 1)
        cells.setdefault((recipient_of(study, prompt), donor), []).append(one)
    rows = tuple(
        (recipient, tuple(_cell(cells.get((recipient, donor))) for donor in study.concepts))
        for recipient in study.concepts
        if any(pair[0] == recipient for pair in cells)
    )
    failures = [f"{o.prompt}: {o.observed}" for o in found if o.outcome == "failed"]
    listed = cut(failures, MAX_FAILURES, "failures", "verdict.json")
    return SwapMatrix(split, rows, listed.kept, listed.told)


def _cell(found: Sequence[PromptOutcome] | None) -> SwapCell | None:
    if not found:
        return None
    tested = [one for one in found if one.outcome != "untested"]
    n_held = sum(one.outcome == "held" for one in tested)
    if not tested:
        return SwapCell("untested", found[0].reason or "", 0)
    low, high = (number(100 * bound, 0) for bound in wilson(n_held, len(tested)))
    title = f"95 % Wilson interval {low} to {high} %"
    return SwapCell(f"{n_held} of {len(tested)}", title, 4 * n_held // len(tested))
