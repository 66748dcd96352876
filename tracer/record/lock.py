"""The lock: supernodes as resolved, kept with a run, reused or compared by a later one."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.errors import UsageError, prompts_named
from tracer.hypothesis.held_out import leaks
from tracer.hypothesis.spec import Hypothesis
from tracer.record.record import Record, SupernodeRecord

Lock = Mapping[str, SupernodeRecord]


def reusable(record: Record, names: set[str], basis: str, fingerprint: str) -> Lock:
    """The supernodes of an older run, if they mean the same here.

    Raises:
        UsageError: Another basis, other weights, or a supernode the run does not have.
    """
    if record.basis != basis:
        raise UsageError(f"the lock of run {record.id} is in basis {record.basis}, not {basis}.")
    if record.model.fingerprint != fingerprint:
        raise UsageError(
            f"the lock of run {record.id} was found on other weights "
            f"({record.model.name}, {record.model.fingerprint[:12]})."
        )
    missing = sorted(names - record.supernodes.keys())
    if missing:
        raise UsageError(
            f"the lock of run {record.id} has no supernode {', '.join(missing)}. "
            f"It has: {', '.join(sorted(record.supernodes))}."
        )
    return {name: found for name, found in record.supernodes.items() if name in names}


def check_held_out(record: Record, hypothesis: Hypothesis) -> None:
    """Refuse supernodes that were found on prompts which only judge now.

    Raises:
        UsageError: Some were.
    """
    names = leaks(record.hypothesis, hypothesis)
    if names:
        raise UsageError(
            f"the lock of run {record.id} was found on {prompts_named(names)}, held out here: "
            "held-out prompts only judge."
        )


def changes(older: Record, now: Lock) -> tuple[str, ...]:
    """A sentence for each supernode whose members differ from an older run's."""
    notes: list[str] = []
    for name, supernode in now.items():
        before = older.supernodes.get(name)
        if before is None:
            continue
        gained = _members(supernode) - _members(before)
        lost = _members(before) - _members(supernode)
        if gained or lost:
            notes.append(
                f"{name}: {len(lost)} of {len(before.features)} features of run {older.id} are "
                f"gone and {len(gained)} are new."
            )
    return tuple(notes)


def _members(supernode: SupernodeRecord) -> set[tuple[int, int, int, int | None]]:
    return {(ref.layer, ref.index, ref.offset, ref.position) for ref in supernode.features}
