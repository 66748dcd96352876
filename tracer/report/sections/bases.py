"""The same hypothesis in other feature bases, as a run's report and the matrix page show it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracer.evidence.cross_basis import LARGE
from tracer.evidence.wording import show_token
from tracer.record.cross_basis import BasisVerdict, CrossBasis, EffectsAcross, SupernodeAcross
from tracer.report.headline import OUTCOMES, VERDICTS
from tracer.report.text import NONE, number, plural

_STYLES = {"confirmed": "held", "refuted": "failed"}


@dataclass(frozen=True)
class BasisRow:
    """One basis."""

    features: str
    word: str
    style: str
    icon: str
    reason: str
    effects: str
    """Whether they agree with those in the first basis."""


@dataclass(frozen=True)
class AcrossView:
    """All bases side by side."""

    sentence: str
    n_same: int
    bases: tuple[BasisRow, ...]
    outcomes: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    """An expectation, and word and icon of its outcome by basis; no icon where it was not asked."""
    supernodes: tuple[tuple[str, tuple[tuple[str, str], ...], str], ...]
    """A supernode; members and tokens by basis; the tokens that all name."""


def across_view(found: CrossBasis | None) -> AcrossView | None:
    """None where there is no other basis."""
    if found is None:
        return None
    effects = {each.features: each for each in found.effects}
    return AcrossView(
        sentence=found.sentence[0].upper() + found.sentence[1:],
        n_same=found.n_same,
        bases=tuple(_basis(each, effects.get(each.features)) for each in found.bases),
        outcomes=tuple(
            (each.name, tuple((word or "not asked", OUTCOMES.get(word or "", "")) for word in row))
            for each in found.outcomes
            for row in [each.outcomes]
        ),
        supernodes=tuple(
            (each.name, tuple(_cells(each)), _tokens(each.shared)) for each in found.supernodes
        ),
    )


def _basis(each: BasisVerdict, effects: EffectsAcross | None) -> BasisRow:
    word = each.verdict or "not run"
    return BasisRow(
        features=each.features,
        word=word,
        style=_STYLES.get(word, "untested"),
        icon=VERDICTS.get(word, "!"),
        reason=each.reason,
        effects=NONE if effects is None else effects_words(effects),
    )


def effects_words(found: EffectsAcross) -> str:
    """'r 0.91 over 24 effects; the same sign in 20 of 22 of 0.1 nats or more'."""
    if not found.n:
        return "no effect in common"
    r = "" if found.correlation is None else f"r {number(found.correlation)} over "
    large = f"the same sign in {found.n_same_sign} of {found.n_large} of {LARGE:g} nats or more"
    return f"{r}{plural(found.n, 'effect')}; {large}"


def _cells(each: SupernodeAcross) -> Iterator[tuple[str, str]]:
    for n, tokens in zip(each.n_members, each.tokens, strict=True):
        yield NONE if n is None else plural(n, "member"), "" if n is None else _tokens(tokens)


def _tokens(tokens: tuple[str, ...]) -> str:
    return ", ".join(map(show_token, tokens)) or NONE
