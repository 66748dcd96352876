"""Two runs held against each other: what came out otherwise, and what of it is worse.

Worse is a verdict further from what the file expects, an expectation that came down (held,
untested, failed, no longer asked), a supernode whose members overlap too little, and an effect that
moved too far, in either direction: then it is another circuit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import ConfigDict, Field

from tracer.evidence.wording import counted, signed
from tracer.record import Recorded
from tracer.regression.causes import causes
from tracer.regression.essentials import Essentials, Tolerances
from tracer.regression.matching import Pair, paired

_OUTCOMES = ("held", "untested", "failed", "not asked")
_FROM_EXPECTED = {
    "confirmed": ("confirmed", "inconclusive", "refuted", "error"),
    "refuted": ("refuted", "inconclusive", "confirmed", "error"),
}
_N_TOLD = 3


class Finding(Recorded):
    """One thing that came out otherwise."""

    kind: Literal["verdict", "outcome", "supernode", "effect"]
    what: str = Field(description="Its stable id, as people read it.")
    before: str
    after: str
    where: str = Field(default="", description="Prompts it changed on, or how much.")
    is_regression: bool

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        return f"{self.what}: {self.before} → {self.after}{where}"


class Comparison(Recorded):
    """Everything that differs between two runs; truthy where nothing got worse."""

    schema_: Literal["tracer.comparison/1"] = Field(default="tracer.comparison/1", alias="schema")
    hypothesis: str
    before: str
    after: str
    tolerances: Tolerances
    changed: tuple[str, ...] = Field(description="What was put in and is not the same.")
    findings: tuple[Finding, ...] = Field(description="What came out otherwise, worse first.")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def is_same(self) -> bool:
        """Whether the same came out; something else may have been put in."""
        return not self.findings

    @property
    def regressions(self) -> tuple[Finding, ...]:
        """What is worse."""
        return tuple(finding for finding in self.findings if finding.is_regression)

    def __bool__(self) -> bool:
        return not self.regressions

    @property
    def summary(self) -> str:
        """One sentence: what was changed, and what came of it."""
        put_in = "; ".join(self.changed)
        if self.is_same:
            return f"the same came out, although {put_in}" if put_in else "the same came out"
        told = "; ".join(map(str, self.findings[:_N_TOLD]))
        more = len(self.findings) - _N_TOLD
        told += f"; and {more} more" if more > 0 else ""
        with_it = "it" if len(self.changed) == 1 else "them"
        return (
            f"{put_in}, and with {with_it}: {told}"
            if put_in
            else f"nothing that is recorded was changed, but {told}"
        )


def compare(old: Essentials, new: Essentials, tolerances: Tolerances | None = None) -> Comparison:
    """What is otherwise in `new`; `tolerances` default to those `old` was blessed with."""
    allowed = tolerances or old.tolerances
    found = [*_verdict(old, new), *_outcomes(old, new)]
    found += [*_supernodes(old, new, allowed), *_effects(old, new, allowed)]
    return Comparison(
        hypothesis=new.hypothesis,
        before=old.run,
        after=new.run,
        tolerances=allowed,
        changed=causes(old, new),
        findings=tuple(sorted(found, key=lambda finding: not finding.is_regression)),
    )


def _verdict(old: Essentials, new: Essentials) -> Iterator[Finding]:
    before, after = (each.verdict for each in (old, new))
    if (before, old.expected) == (after, new.expected):
        return
    now = _FROM_EXPECTED[new.expected].index(after)
    yield Finding(
        kind="verdict",
        what="verdict",
        before=before,
        after=after,
        where="" if old.expected == new.expected else f"expected is now {new.expected}",
        is_regression=now > _FROM_EXPECTED[old.expected].index(before),
    )


def _outcomes(old: Essentials, new: Essentials) -> Iterator[Finding]:
    for pair in paired(old.outcomes, new.outcomes):
        before = pair.old.outcome if pair.old else "not asked"
        after = pair.new.outcome if pair.new else "not asked"
        where = list(_prompts(pair))
        if before != after or where:
            yield Finding(
                kind="outcome",
                what=pair.name,
                before=before,
                after=after,
                where=", ".join(where[:_N_TOLD]) + (", …" if len(where) > _N_TOLD else ""),
                is_regression=_OUTCOMES.index(after) > _OUTCOMES.index(before),
            )


def _prompts(pair: Pair) -> Iterator[str]:
    """Prompts of both runs on which an expectation came out otherwise."""
    if pair.old is None or pair.new is None:
        return
    for prompt, before in pair.old.prompts.items():
        after = pair.new.prompts.get(prompt)
        if after is not None and after != before:
            yield f"{prompt}: {before} → {after}"


def _supernodes(old: Essentials, new: Essentials, allowed: Tolerances) -> Iterator[Finding]:
    for name in dict.fromkeys([*old.supernodes, *new.supernodes]):
        before, after = (set(each.supernodes.get(name, ())) for each in (old, new))
        if before == after:
            continue
        overlap = len(before & after) / len(before | after)
        is_new = name not in old.supernodes
        yield Finding(
            kind="supernode",
            what=f"members of {name}",
            before=counted(len(before), "feature"),
            after=counted(len(after), "feature"),
            where=f"{len(before & after)} in common, overlap {overlap:.2f}",
            is_regression=not is_new and overlap < allowed.overlap,
        )


def _effects(old: Essentials, new: Essentials, allowed: Tolerances) -> Iterator[Finding]:
    """One finding for every intervention and token whose effect moved too far on some prompt."""
    for intervention, before in old.effects.items():
        after = new.effects.get(intervention, {})
        moves: dict[str, list[_Move]] = {}
        for prompt, effects in before.items():
            for token, was in effects.items():
                now = after.get(prompt, {}).get(token)
                if now is not None:
                    moves.setdefault(token, []).append((prompt, was, now))
        for token, found in moves.items():
            far = [move for move in found if _is_far(move, allowed)]
            if far:
                yield _moved(f"{intervention}: effect on {token!r}", far, len(found))


_Move = tuple[str, float, float]
"""Prompt, and the effect on it before and after."""


def _is_far(move: _Move, allowed: Tolerances) -> bool:
    _, was, now = move
    return abs(now - was) > max(allowed.effect, allowed.share * abs(was))


def _moved(what: str, far: Sequence[_Move], n: int) -> Finding:
    prompt, was, now = max(far, key=lambda move: abs(move[2] - move[1]))
    return Finding(
        kind="effect",
        what=what,
        before=f"{signed(was)} nats",
        after=f"{signed(now)} nats",
        where=f"{prompt}, most of {len(far)} of {n}" if n > 1 else prompt,
        is_regression=True,
    )
