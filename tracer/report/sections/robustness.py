"""Variations of the hypothesis as the report shows them: each with its verdict and main effect."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.evidence.robustness import told
from tracer.record.verdict import RobustnessVerdict, VariantOutcome, VariationCount
from tracer.report.headline import VERDICTS
from tracer.report.text import NONE, interval, p_value

_KINDS = {
    None: "All",
    "template": "Another template",
    "seed": "Another seed",
    "size": "Another size",
    "left out": "A selection prompt left out",
}
_SAME = {None: "open", True: "same", False: "another"}


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
    return RobustnessView(
        sentence=told(found),
        headline=found.headline,
        own=_row(found, "the file as it is", "", ""),
        rows=tuple(_row(each, each.name, each.change, _SAME[each.same]) for each in found.variants),
        kinds=tuple(map(_kind, (found.total, *found.by_axis))),
        skipped=found.skipped,
    )


def _kind(counted: VariationCount) -> AxisRow:
    n = counted.n_same + counted.n_other + counted.n_open
    return AxisRow(
        kind=_KINDS[counted.axis],
        same=f"{counted.n_same} of {n}",
        open=str(counted.n_open or NONE),
        interval=interval(counted.wilson),
    )


def _row(
    found: VariantOutcome | RobustnessVerdict, name: str, change: str, same: str
) -> VariantRow:
    return VariantRow(
        name=name,
        change=change,
        verdict=found.verdict or "not judged",
        icon=VERDICTS[found.verdict] if found.verdict else "?",
        same=same,
        effect=found.effect or NONE,
        p=p_value(found.p),
        reason=found.reason,
    )
