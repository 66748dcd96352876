"""What was changed after the fact: a threshold chosen once the numbers are known proves little.

A run is held against what was registered before anything was measured; one that carries no
registration, against what it was itself measured with. Which model and features it ran on, and what
only describes (source, tags, labels), is no part of the claim.

Two hypotheses are compared in what they say, however it is written: short forms are written out;
prompts, doses and clamps are compared by name. Expectations have no name: equal ones are matched
wherever they stand, the others in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple, cast

from tracer.errors import KeyPath, dotted, show
from tracer.evidence.matching import matched
from tracer.hypothesis.clamps import ClampForm, long_form
from tracer.hypothesis.implied import repeated, sized
from tracer.hypothesis.robustness import Robustness
from tracer.hypothesis.spec import Hypothesis
from tracer.record.record import Record, Registration
from tracer.record.registration import as_declared, when
from tracer.record.verdict import Registered

ABSENT = object()
_UNCLAIMED = ("model", "features", "source", "tags")
_SHOWN = 5
"""Places that a caveat names; the verdict lists them all."""


class Change(NamedTuple):
    """One place where two hypotheses differ; `ABSENT` stands for what is not there."""

    path: KeyPath
    old: Any
    new: Any

    def told(self, before: str) -> str:
        """A sentence; `before` says what the old value was: 'measured with'."""
        where = dotted(self.path)
        if self.new is ABSENT:
            return f"{where}: left out" + (f", {_told(self.old)}" if self._is_expected else "")
        if self.old is ABSENT:
            return f"{where}: added, {_told(self.new)}"
        return f"{where}: {before} {_told(self.old)}, judged with {_told(self.new)}"

    @property
    def _is_expected(self) -> bool:
        """Whether a whole expectation is gone, which its place alone would not tell."""
        return isinstance(self.path[-1], int) and self.path[-2:-1] == ("expect",)


def changes_between(old: Hypothesis, new: Hypothesis) -> tuple[Change, ...]:
    """Every place where they say something else."""
    return () if old is new else tuple(differences(comparable(old), comparable(new)))


def comparable(hypothesis: Hypothesis) -> dict[str, Any]:
    """The declared data in one form: short forms written out, ordered things as lists."""
    data = hypothesis.model_dump(mode="json", by_alias=True, exclude={"if_absent"})
    data["model"] = hypothesis.model_spec.model_dump(mode="json", exclude={"device"})
    if hypothesis.graph is None:
        del data["graph"]
    else:
        data["graph"]["prompts"] = {prompt: "graphed" for prompt in hypothesis.graph.prompts}
    if hypothesis.robustness is None:
        del data["robustness"]
    else:
        data["robustness"] |= _repetition(hypothesis, hypothesis.robustness)
    for name, study in hypothesis.studies():
        for key in study.MAY_SHRINK:
            data[study.SECTION][name][key] = dict.fromkeys(getattr(study, key), "tested")
    for name, spec in hypothesis.interventions.items():
        inner = data["interventions"][name]
        inner["clamp"] = [[clamped, _long(clamp)] for clamped, clamp in spec.clamp.items()]
        inner["prompts"] = {prompt: "tested" for prompt in spec.prompts}
        if spec.generate is None:
            del inner["generate"]
        if spec.doses is None:
            del inner["doses"]
        else:
            inner["doses"]["factors"] = {repr(f): "tested" for f in spec.doses.factors}
    return data


def _repetition(hypothesis: Hypothesis, spec: Robustness) -> dict[str, Any]:
    """Its lists by what they name; what each key stands for without a list is written out."""
    again = repeated(hypothesis)
    names = [*again.interventions, *(name for name, _ in again.studies())]
    members = dict.fromkeys(names, "repeated")
    return {
        "seeds": {str(seed): "varied" for seed in spec.seeds},
        "sizes": {str(size): "varied" for size in spec.sizes},
        "of": list(sized(hypothesis, spec)) if spec.sizes else [],
        "interventions": members,
    }


def differences(old: Any, new: Any, path: KeyPath = ()) -> Iterator[Change]:
    """Every place where two values of plain data differ, the innermost ones."""
    if isinstance(old, dict) and isinstance(new, dict):
        before, after = cast(dict[str, Any], old), cast(dict[str, Any], new)
        for key in dict.fromkeys([*before, *after]):
            pair = (before.get(key, ABSENT), after.get(key, ABSENT))
            yield from differences(*pair, (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        first, second = cast(list[Any], old), cast(list[Any], new)
        if path and path[-1] == "expect":
            yield from _expectations(first, second, path)
            return
        for index, pair in enumerate(zip_longest(first, second, fillvalue=ABSENT)):
            yield from differences(*pair, (*path, index))
    elif old != new:
        yield Change(path, old, new)


def _expectations(old: list[Any], new: list[Any], path: KeyPath) -> Iterator[Change]:
    """What is not in both lists: as changes of the one that is most alike, where one is."""
    before, after = [_given(each) for each in old], [_given(each) for each in new]
    for was, now in matched(before, after):
        if now is None:
            assert was is not None
            yield Change((*path, was), before[was], ABSENT)
        elif was is None:
            yield Change((*path, now), ABSENT, after[now])
        else:
            yield from differences(before[was], after[now], (*path, now))


def _given(expectation: dict[str, Any]) -> dict[str, Any]:
    """What is written in it: `fails` is a mark, and every expectation is without it."""
    return {
        key: value
        for key, value in expectation.items()
        if value is not None and (key, value) != ("fails", False)
    }


def _long(clamp: ClampForm) -> dict[str, Any]:
    spec = long_form(clamp)
    amount = spec.amount
    return spec.model_dump(mode="json", by_alias=True) | {amount.unit: amount.value}


def _told(value: Any) -> str:
    if isinstance(value, dict):
        given = _given(cast(dict[str, Any], value))
        value = {key: inner for key, inner in given.items() if (key, inner) != ("mostly", 1.0)}
    return show(value)


class PostHoc(NamedTuple):
    """How what is judged differs from what was declared beforehand."""

    changes: tuple[Change, ...]
    registration: Registration | None

    @property
    def sentences(self) -> tuple[str, ...]:
        """One for each part that differs."""
        before = "measured with" if self.registration is None else "registered with"
        return tuple(change.told(before) for change in self.changes)

    @property
    def registered(self) -> Registered | None:
        """What the verdict says of it."""
        if self.registration is None:
            return None
        return Registered(at=self.registration.registered, sha256=self.registration.sha256)

    def caveats(self) -> Iterator[str]:
        """What a reader must know first, expectations by name; nothing where nothing differs."""
        if not self.changes:
            return
        since = "the measurement"
        if self.registration is not None:
            since = f"it was registered on {when(self.registration)}"
        expected = _places([c for c in self.changes if "expect" in c.path])
        others = _places([c for c in self.changes if "expect" not in c.path])
        told = [f"expectations {_named(expected)}"] if expected else []
        told += [_named(others)] if others else []
        yield f"post hoc: {', and '.join(told)} changed, added or left out after {since}"


def post_hoc(record: Record, hypothesis: Hypothesis) -> PostHoc:
    """How a hypothesis differs from what was declared before the run.

    Raises:
        UsageError: This version does not read what was registered.
    """
    registration = record.registration
    if registration is None:
        return PostHoc(changes_between(record.hypothesis, hypothesis), None)
    return PostHoc(changed_since(registration, hypothesis), registration)


def changed_since(registration: Registration, hypothesis: Hypothesis) -> tuple[Change, ...]:
    """Where a hypothesis claims something else than was registered.

    Raises:
        UsageError: This version does not read what was registered.
    """
    return tuple(differences(_claimed(as_declared(registration)), _claimed(hypothesis)))


def _claimed(hypothesis: Hypothesis) -> dict[str, Any]:
    data = comparable(hypothesis)
    for key in _UNCLAIMED:
        del data[key]
    for node in data["supernodes"].values():
        del node["label"]
    return data


def _places(changes: Sequence[Change]) -> list[str]:
    """Where they are; of an expectation its own place, whatever of it was changed."""
    return list(dict.fromkeys(_place(change) for change in changes))


def _place(change: Change) -> str:
    path = change.path
    if "expect" in path:
        path = path[: path.index("expect") + 2]
    return dotted(path)


def _named(places: Sequence[str]) -> str:
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return ", ".join(places[:_SHOWN]) + more
