"""Where two hypotheses differ in what they say, however it is written.

Short forms are written out; prompts, doses and clamps are compared by name. Expectations have no
name: equal ones are matched wherever they stand, the others in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, NamedTuple, cast

from tracer.evidence.nearest import matched
from tracer.hypothesis.interventions import ClampSpec
from tracer.hypothesis.problem import KeyPath, dotted, show
from tracer.hypothesis.robustness import Robustness
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.variations import REPEATED, repeated, sized

ABSENT = object()


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
    for name, circuit in hypothesis.circuit.items():
        data["circuit"][name]["prompts"] = {prompt: "tested" for prompt in circuit.prompts}
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
    members = {name: "repeated" for section in REPEATED for name in getattr(again, section)}
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
    return {key: value for key, value in expectation.items() if value is not None}


def _long(clamp: float | ClampSpec) -> dict[str, Any]:
    spec = clamp if isinstance(clamp, ClampSpec) else ClampSpec(times=clamp)
    amount = spec.amount
    return spec.model_dump(mode="json", by_alias=True) | {amount.unit: amount.value}


def _told(value: Any) -> str:
    if isinstance(value, dict):
        given = _given(cast(dict[str, Any], value))
        value = {key: inner for key, inner in given.items() if (key, inner) != ("mostly", 1.0)}
    return show(value)
