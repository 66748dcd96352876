"""The lock: supernodes as resolved, kept with a run, reused or compared by a later one."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.errors import UsageError, prompts_named
from tracer.hypothesis.held_out import content, leaks
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


def told_foreign(lock: Lock, record: Record, hypothesis: Hypothesis) -> Lock:
    """Supernodes of a lock, marked where this file's rule or its prompts are not the older run's.

    Raises:
        UsageError: One takes its activations from a prompt that this file does not have.
    """
    found: dict[str, SupernodeRecord] = {}
    for name, supernode in lock.items():
        missing = [each for each in supernode.source if each not in hypothesis.prompts]
        if missing:
            raise UsageError(
                f"the lock of run {record.id} has {name} with the activations of "
                f"{prompts_named(missing)}, which this file does not have."
            )
        is_same = _found_on(record.hypothesis, name) == _found_on(hypothesis, name)
        found[name] = supernode.model_copy(update={"is_foreign": not is_same})
    return found


def _found_on(hypothesis: Hypothesis, name: str) -> tuple[object, ...]:
    """A supernode's rule, and what the prompts say that it names."""
    spec = hypothesis.supernodes[name]
    texts = [content(hypothesis.prompts[p], hypothesis.template) for p in spec.own_prompts]
    return spec.select, spec.features, spec.heads, spec.own_prompts, texts


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
                f"{name}: {len(lost)} of {len(before.members)} {before.unit}s of run {older.id} "
                f"are gone and {len(gained)} are new."
            )
    return tuple(notes)


def _members(supernode: SupernodeRecord) -> set[tuple[str, int, int, int, int | None]]:
    heads = {("head", ref.layer, ref.head, ref.offset, None) for ref in supernode.heads}
    return heads | {
        ("feature", ref.layer, ref.index, ref.offset, ref.position) for ref in supernode.features
    }
