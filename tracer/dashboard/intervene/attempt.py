"""An attempt as a hypothesis file would declare it, so that the engine measures it as any other.

    ablate     0
    scale      {times: f, from: [here]}     its activation on this very prompt
    inject     {times: f}                   its activation on its source prompts
    set        {to: f}
    add        {add: f}

A supernode that is put at chosen tokens becomes one of explicit ids. What is `expected` of an
attempt only names the tokens that are looked at; nobody judges it.

A recorded intervention as an attempt to start from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tracer.dashboard.intervene.request import Attempt, Clamping, Mode
from tracer.errors import UsageError
from tracer.hypothesis.clamps import (
    HERE,
    ClampForm,
    ClampSpec,
    Doses,
    Generation,
    InterventionSpec,
    Unit,
)
from tracer.hypothesis.expectations.effect import LogitDiff, Probability
from tracer.hypothesis.spec import Controls, Hypothesis, SupernodeSpec
from tracer.record.files import free_name
from tracer.record.record import PromptRecord, Record
from tracer.report.effects import fill, measures

NAME = "attempt"
"""Of the one intervention."""
P = 0.05

_UNITS: Mapping[Mode, Unit] = {
    "ablate": "times",
    "scale": "times",
    "inject": "times",
    "set": "to",
    "add": "add",
}

Groups = Mapping[str, tuple[str, ...]]
"""Supernodes made by hand: ids `layer_index_position` by name."""


class DeclaredAttempt(NamedTuple):
    """An attempt in the words of a hypothesis file."""

    added: Hypothesis
    """The run's hypothesis with the attempt beside its own interventions: what a draft is of."""
    alone: Hypothesis
    """With the attempt instead of everything else that is measured."""
    made: dict[str, tuple[str, ...]]
    """Ids of the supernodes that the run has not, by name: clamped, or only watched."""


def declare(record: Record, groups: Groups, attempt: Attempt, name: str = NAME) -> DeclaredAttempt:
    """The run's hypothesis with an attempt.

    Args:
        record: The run.
        groups: Supernodes made by hand, on this prompt; those that are not clamped are watched.
        attempt: What is asked for.
        name: Of the intervention.

    Raises:
        UsageError: It clamps nothing, names what is not there, or a supernode twice.
    """
    _check(record, groups, attempt)
    clamp: dict[str, float | ClampSpec] = {}
    made: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    for each in attempt.clamps:
        new = names[each.supernode] = _name(each, record, groups)
        if each.positions:
            made[new] = _at_tokens(each, record, groups)
        elif each.supernode in groups:
            made[new] = groups[each.supernode]
        clamp[new] = _clamp(each, dosed=_is_dosed(each, attempt))
    labels = {new: _label(record, old) for old, new in names.items()}
    supernodes = {new: SupernodeSpec(label=labels[new], features=ids) for new, ids in made.items()}
    added = _added(record.hypothesis, supernodes, name, _intervention(attempt, clamp, names))
    if attempt.n_controls:
        added = added.model_copy(update={"controls": Controls(random=attempt.n_controls)})
    watched = {each: ids for each, ids in groups.items() if each not in added.supernodes}
    return DeclaredAttempt(added, _alone(added, name, watched), {**made, **watched})


def _check(record: Record, groups: Groups, attempt: Attempt) -> None:
    named = [each.supernode for each in attempt.clamps]
    if not named:
        raise UsageError("Nothing is clamped: choose a supernode.")
    if attempt.prompt not in record.prompts:
        raise UsageError(f"The run has no prompt {attempt.prompt!r}.")
    for name in named:
        if name not in record.supernodes and name not in groups:
            raise UsageError(f"There is no supernode {name!r} any more.")
        if named.count(name) > 1:
            raise UsageError(f"The supernode {name!r} is clamped twice.")
    n_tokens = len(record.prompts[attempt.prompt].tokens)
    for each in attempt.clamps:
        if any(not 0 <= pos < n_tokens for pos in each.positions):
            raise UsageError(f"The prompt has tokens 0 to {n_tokens - 1}.")
        if each.positions and each.mode == "inject":
            raise UsageError(
                f"{each.supernode!r}: an activation of another prompt has its own place there, "
                "so it cannot be put at chosen tokens; choose a span, or another mode."
            )


def _name(clamping: Clamping, record: Record, groups: Groups) -> str:
    """Of what is clamped; a supernode put elsewhere is another one."""
    if not clamping.positions:
        return clamping.supernode
    taken = {*record.supernodes, *groups}
    return free_name(f"{clamping.supernode[:50]}_at_tokens", taken)


def _at_tokens(clamping: Clamping, record: Record, groups: Groups) -> tuple[str, ...]:
    """Every feature of a supernode at every chosen token."""
    if clamping.supernode in groups:
        members = [tuple(each.split("_")[:2]) for each in groups[clamping.supernode]]
    else:
        refs = record.supernodes[clamping.supernode].features
        members = [(str(ref.layer), str(ref.index)) for ref in refs]
    unique = dict.fromkeys(members)
    return tuple(
        f"{layer}_{index}_{pos}"
        for pos in sorted(set(clamping.positions))
        for layer, index in unique
    )


def _label(record: Record, name: str) -> str | None:
    return record.supernodes[name].label if name in record.supernodes else None


def _is_dosed(clamping: Clamping, attempt: Attempt) -> bool:
    return attempt.dosing is not None and attempt.dosing.supernode == clamping.supernode


def _clamp(clamping: Clamping, *, dosed: bool) -> float | ClampSpec:
    """A dose multiplies something, so a dosed ablation takes what is here."""
    told: dict[str, object] = {"at": clamping.at, "onward": clamping.onward}
    unit, value = _UNITS[clamping.mode], clamping.factor
    told[unit] = 0.0 if clamping.mode == "ablate" else value
    if clamping.mode == "scale" or (clamping.mode == "ablate" and dosed):
        told["from"] = (HERE,)
    spec = ClampSpec.model_validate(told)
    short = spec.times is not None and spec == ClampSpec(times=spec.times)
    return spec.times if short and spec.times is not None else spec


def _intervention(
    attempt: Attempt, clamp: Mapping[str, float | ClampSpec], names: Mapping[str, str]
) -> InterventionSpec:
    dosing = attempt.dosing
    return InterventionSpec(
        prompts=(attempt.prompt,),
        clamp=dict(clamp),
        freeze=attempt.freeze,
        expect=(_asked(attempt),),
        doses=Doses(of=names.get(dosing.supernode, dosing.supernode), factors=dosing.factors)
        if dosing
        else None,
        generate=Generation(tokens=attempt.n_tokens) if attempt.n_tokens else None,
    )


def _asked(attempt: Attempt) -> Probability | LogitDiff:
    """What is looked at; controls are drawn only where something is compared with them."""
    test = {"beats_controls": P} if attempt.n_controls else {"above": 0.0}
    if len(attempt.measure) == 2:
        return LogitDiff(logit_diff=(attempt.measure[0], attempt.measure[1]), **test)
    return Probability(probability=attempt.measure[0], **test)


def _added(
    hypothesis: Hypothesis,
    made: Mapping[str, SupernodeSpec],
    name: str,
    intervention: InterventionSpec,
) -> Hypothesis:
    update = {
        "supernodes": {**hypothesis.supernodes, **made},
        "interventions": {**hypothesis.interventions, name: intervention},
    }
    return hypothesis.model_copy(update=update)


def _alone(hypothesis: Hypothesis, name: str, watched: Groups) -> Hypothesis:
    nothing: Mapping[str, object] = {
        "necessity": {},
        "mediation": {},
        "swaps": {},
        "graph": None,
        "circuit": {},
        "shared": {},
    }
    interventions = {name: hypothesis.interventions[name]}
    seen = {each: SupernodeSpec(features=ids) for each, ids in watched.items()}
    supernodes = {**hypothesis.supernodes, **seen}
    update = {**nothing, "interventions": interventions, "supernodes": supernodes}
    return hypothesis.model_copy(update=update)


def preset(record: Record, intervention: str, prompt: str) -> Attempt:
    """The clamps, freeze mode and leading measure of an intervention, on one prompt."""
    spec = record.hypothesis.interventions[intervention]
    asked = measures(spec)
    told = tuple(fill(record, prompt, token) for token in asked[0].tokens) if asked else ()
    return Attempt(
        prompt=prompt,
        clamps=tuple(_clamping(name, given) for name, given in spec.clamp.items()),
        measure=told or default_measure(record.prompts[prompt]),
        freeze=spec.freeze,
    )


def default_measure(prompt: PromptRecord) -> tuple[str, ...]:
    """The answer's probability, or that of the most probable token."""
    return (prompt.answer or prompt.baseline.top[0].token,)


def tokens_to_measure(prompt: PromptRecord) -> tuple[str, ...]:
    """The answer, what the hypothesis asks for, then the most probable tokens."""
    answer = (prompt.answer,) if prompt.answer is not None else ()
    top = (reading.token for reading in prompt.baseline.top)
    return tuple(dict.fromkeys((*answer, *prompt.baseline.tokens, *top)))


def _clamping(name: str, given: ClampForm) -> Clamping:
    clamp = given if isinstance(given, ClampSpec) else ClampSpec(times=given)
    unit, value = clamp.amount
    here = set(clamp.from_ or ()) == {HERE}
    modes: dict[str, Mode] = {"to": "set", "add": "add", "times": "scale" if here else "inject"}
    mode: Mode = "ablate" if (unit, value) == ("times", 0) else modes[unit]
    return Clamping(name, mode, float(value), at=clamp.at, onward=clamp.onward)
