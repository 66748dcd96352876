"""Variations of the hypothesis as the report shows them: each with its verdict and main effect."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.evidence.robustness import told
from tracer.record.verdict import RobustnessVerdict, VariantOutcome, VariationCount
from tracer.report.sections.overview import VERDICTS
from tracer.report.text import number, p_value

KINDS = {
    "template": "Another template",
    "seed": "Another seed",
    "size": "Another size",
    "left out": "A selection prompt left out",
}
_NONE = "–"


@dataclass(frozen=True)
class VariantRow:
    """The file as it is, or one of its variations."""

    name: str
    change: str
    verdict: str
    icon: str
    same: str
    """'same', 'another' or 'open'; empty for the file itself."""
    effect: str
    p: str
    reason: str


@dataclass(frozen=True)
class AxisRow:
    """How the variations of one kind came out."""

    kind: str
    same: str
    open: str
    interval: str


@dataclass(frozen=True)
class RobustnessView:
    """All variations."""

    sentence: str
    """For the first screen."""
    headline: str
    own: VariantRow
    rows: tuple[VariantRow, ...]
    kinds: tuple[AxisRow, ...]
    """All together first."""
    skipped: tuple[str, ...]


def robustness_view(found: RobustnessVerdict | None) -> RobustnessView | None:
    """None where the file asks for no variations."""
    if found is None:
        return None
    own = VariantRow(
        name="the file as it is",
        change="",
        verdict=found.verdict,
        icon=VERDICTS[found.verdict],
        same="",
        effect=found.effect or _NONE,
        p=_NONE if found.p is None else p_value(found.p),
        reason=found.reason,
    )
    return RobustnessView(
        sentence=told(found),
        headline=found.headline,
        own=own,
        rows=tuple(map(_row, found.variants)),
        kinds=tuple(map(_kind, (found.total, *found.by_axis))),
        skipped=found.skipped,
    )


def _kind(counted: VariationCount) -> AxisRow:
    n = counted.n_same + counted.n_other + counted.n_open
    interval = _NONE
    if counted.wilson is not None:
        low, high = (number(100 * bound, 0) for bound in counted.wilson)
        interval = f"{low}–{high} %"
    return AxisRow(
        kind="All" if counted.axis is None else KINDS[counted.axis],
        same=f"{counted.n_same} of {n}",
        open=str(counted.n_open) if counted.n_open else _NONE,
        interval=interval,
    )


def _row(each: VariantOutcome) -> VariantRow:
    same = "open" if each.same is None else "same" if each.same else "another"
    return VariantRow(
        name=each.name,
        change=each.change,
        verdict=each.verdict or "not judged",
        icon=VERDICTS[each.verdict] if each.verdict else "?",
        same=same,
        effect=each.effect or _NONE,
        p=_NONE if each.p is None else p_value(each.p),
        reason=each.reason,
    )
