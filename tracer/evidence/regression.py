"""Two runs held against each other: what came out otherwise, what of it is worse, and why.

Worse is a verdict further from what the file expects, an expectation that came down (held,
untested, failed, no longer asked), a supernode whose members overlap too little, and an effect that
moved too far, in either direction: then it is another circuit. The causes are what the runs did not
share to begin with: model, dictionary, prompts, what the file says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

from pydantic import ConfigDict, Field

from tracer.errors import KeyPath, dotted, show
from tracer.evidence.baseline_run import Essentials, Tolerances
from tracer.evidence.matching import Pair, paired
from tracer.evidence.wording import counted, signed
from tracer.record.files import Recorded
from tracer.record.record import BasisRecord, ModelRecord

_N_HEX = 8
_N_TOLD = 3
_TOLD_OTHERWISE = ("hypothesis", "claim", "source", "tags", "model", "features", "expected")
"""Parts of a file that change nothing measured or judged, or that the record tells better."""
_OUTCOMES = ("held", "vacuous", "untested", "failed", "not asked")
_FROM_EXPECTED = {
    "confirmed": ("confirmed", "consistent", "inconclusive", "refuted", "error"),
    "consistent": ("confirmed", "consistent", "inconclusive", "refuted", "error"),
    "refuted": ("refuted", "inconclusive", "consistent", "confirmed", "error"),
}


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


class RunComparison(Recorded):
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


def compare(
    old: Essentials, new: Essentials, tolerances: Tolerances | None = None
) -> RunComparison:
    """What is otherwise in `new`; `tolerances` default to those `old` was blessed with."""
    allowed = tolerances or old.tolerances
    found = [*_verdict(old, new), *_outcomes(old, new)]
    found += [*_supernodes(old, new, allowed), *_effects(old, new, allowed)]
    return RunComparison(
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
        is_new, is_gone = name not in old.supernodes, name not in new.supernodes
        before, after = (set(each.supernodes.get(name, ())) for each in (old, new))
        if before == after and not is_new and not is_gone:
            continue
        overlap = len(before & after) / max(1, len(before | after))
        shared = f"{len(before & after)} in common, overlap {overlap:.2f}"
        yield Finding(
            kind="supernode",
            what=f"members of {name}",
            before="not there" if is_new else counted(len(before), "feature"),
            after="not there any more" if is_gone else counted(len(after), "feature"),
            where="" if is_new or is_gone else shared,
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


def causes(old: Essentials, new: Essentials) -> tuple[str, ...]:
    """A sentence for each thing that was put in and is not the same."""
    return tuple(_causes(old, new))


def _causes(old: Essentials, new: Essentials) -> Iterator[str]:
    if old.hypothesis != new.hypothesis:
        yield f"another hypothesis ({old.hypothesis} → {new.hypothesis})"
    yield from _model(old.model, new.model)
    if old.basis != new.basis:
        yield f"the feature basis changed ({old.basis} → {new.basis})"
    else:
        yield from _dictionary(old.dictionary, new.dictionary)
    said = list(_declared(old.declared, new.declared))
    yield from said
    if not any(cause.startswith(("prompts", "template")) for cause in said):
        yield from _tokens(old, new)
    if old.tracer != new.tracer:
        yield f"tracer's version changed ({old.tracer} → {new.tracer})"
    for name in sorted(old.packages.keys() & new.packages.keys()):
        if old.packages[name] != new.packages[name]:
            yield f"{name}'s version changed ({old.packages[name]} → {new.packages[name]})"


def _model(old: ModelRecord, new: ModelRecord) -> Iterator[str]:
    if old.name != new.name:
        yield f"the model changed ({old.name} → {new.name})"
    elif old.fingerprint != new.fingerprint:
        yield f"the model's weights changed ({_hex(old)} → {_hex(new)})"
    for what, a, b in (
        ("revision", old.revision, new.revision),
        ("dtype", old.dtype, new.dtype),
        ("device", old.device, new.device),
    ):
        if a != b and (what != "revision" or old.name == new.name):
            yield f"the model's {what} changed ({a or 'none'} → {b or 'none'})"


def _dictionary(old: BasisRecord | None, new: BasisRecord | None) -> Iterator[str]:
    if old is None or new is None:
        if old != new:
            yield "the dictionary's files are known of one run only"
        return
    if old.fingerprint != new.fingerprint:
        yield f"the dictionary's weights changed ({_hex(old)} → {_hex(new)})"
    if old.revision != new.revision:
        change = f"{old.revision or 'none'} → {new.revision or 'none'}"
        yield f"the dictionary's revision changed ({change})"


def _hex(record: ModelRecord | BasisRecord) -> str:
    return f"{record.fingerprint[:_N_HEX]}…" if record.fingerprint else "unknown"


def _tokens(old: Essentials, new: Essentials) -> Iterator[str]:
    changed = [n for n in old.tokens if n in new.tokens and old.tokens[n] != new.tokens[n]]
    if changed:
        yield f"the same text is other tokens now ({', '.join(changed)})"


def _declared(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*old, *new]):
        if key not in _TOLD_OTHERWISE:
            yield from _differences(old.get(key), new.get(key), (key,))


def _differences(old: Any, new: Any, path: KeyPath) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        before, after = cast(dict[str, Any], old), cast(dict[str, Any], new)
        for key in dict.fromkeys([*before, *after]):
            yield from _differences(before.get(key), after.get(key), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _items(cast(list[Any], old), cast(list[Any], new), path)
    elif old is None or new is None:
        if old is not new:
            yield f"{dotted(path)}: " + ("left out" if new is None else f"added, {show(new)}")
    elif old != new:
        yield f"{dotted(path)}: {show(old)} → {show(new)}"


def _items(old: list[Any], new: list[Any], path: KeyPath) -> Iterator[str]:
    """Items that only one list has: what a list holds is matched by what it says."""
    for item in old:
        if item not in new:
            yield f"{dotted(path)}: without {show(item)}"
    for item in new:
        if item not in old:
            yield f"{dotted(path)}: with {show(item)}"
