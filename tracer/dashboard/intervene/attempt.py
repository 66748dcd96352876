"""An attempt: what a person clamps and measures, and how a hypothesis file declares it.

    ablate     0
    scale      {times: f, from: [here]}     times its activation on this prompt
    inject     {times: f}                   times its activation on its source prompts
    set        {to: f}
    add        {add: f}

The engine measures it as any intervention. A supernode at chosen tokens becomes one of explicit
ids. The intervention's `expect` only names the tokens to measure; it is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tracer.errors import UsageError
from tracer.hypothesis.clamps import (
    HERE,
    ClampForm,
    ClampSpec,
    Doses,
    Generation,
    InterventionSpec,
    Unit,
    long_form,
)
from tracer.hypothesis.expectations.effect import LogitDiff, Probability
from tracer.hypothesis.neuronpedia_ids import without_position
from tracer.hypothesis.spec import Controls, Hypothesis, SupernodeSpec
from tracer.record.files import free_name
from tracer.record.record import PromptRecord, Record
from tracer.report.effects import fill, measures

Mode = Literal["ablate", "scale", "inject", "set", "add"]
Freeze = Literal["none", "attention", "all"]
Groups = Mapping[str, tuple[str, ...]]
"""Supernodes made by hand: ids `layer_index_position` by name."""
MODES: dict[Mode, str] = {
    "ablate": "ablate",
    "scale": "scale (× itself)",
    "inject": "inject (× source)",
    "set": "set to a value",
    "add": "add (× maximum)",
}
"""In words, for people."""
_UNITS: Mapping[Mode, Unit] = {
    "ablate": "times",
    "scale": "times",
    "inject": "times",
    "set": "to",
    "add": "add",
}
LOWEST, HIGHEST = -5.0, 5.0
"""Of a factor; a value that is set may be any."""
NAME = "attempt"
"""Of the one intervention."""
P = 0.05
"""Of the comparison with controls, where any are drawn."""


@dataclass(frozen=True)
class Clamping:
    """One supernode, clamped."""

    supernode: str
    mode: Mode
    factor: float = 0.0
    """Multiplies an activation, or a maximum; with `set` it is the activation itself."""
    at: str | None = None
    """A span of the prompt, instead of the supernode's own."""
    positions: tuple[int, ...] = ()
    """Tokens of the prompt, instead of the supernode's own; every feature at each of them."""
    onward: bool = False
    """Also at all later positions, generated ones too."""


@dataclass(frozen=True)
class Dosing:
    """One clamp of the attempt at several factors."""

    supernode: str
    factors: tuple[float, ...]


@dataclass(frozen=True)
class Attempt:
    """Clamps on one prompt of a run."""

    prompt: str
    clamps: tuple[Clamping, ...]
    measure: tuple[str, ...]
    """One token: its probability; two: the difference of their logits."""
    freeze: Freeze = "none"
    n_controls: int = 0
    """Matched random feature sets."""
    dosing: Dosing | None = None
    n_tokens: int = 0
    """To be generated, at temperature 0."""


class DeclaredAttempt(NamedTuple):
    """An attempt in the words of a hypothesis file."""

    added: Hypothesis
    """The run's hypothesis with the attempt beside its own interventions: what a draft is of."""
    alone: Hypothesis
    """With the attempt instead of everything else that is measured."""
    by_hand: dict[str, tuple[str, ...]]
    """Ids of the supernodes that the run does not have, by name: clamped, or only watched."""


def declare(record: Record, groups: Groups, attempt: Attempt, name: str = NAME) -> DeclaredAttempt:
    """The run's hypothesis with an attempt as the intervention `name`.

    Groups made by hand on this prompt that are not clamped are watched.

    Raises:
        UsageError: It clamps nothing, names what is not there, or a supernode twice.
    """
    _check(record, groups, attempt)
    clamp: dict[str, float | ClampSpec] = {}
    supernodes: dict[str, SupernodeSpec] = {}
    names: dict[str, str] = {}
    for each in attempt.clamps:
        old = each.supernode
        new = names[old] = _name(each, record, groups)
        ids = _at_tokens(each, record, groups) if each.positions else groups.get(old)
        if ids is not None:
            label = record.supernodes[old].label if old in record.supernodes else None
            supernodes[new] = SupernodeSpec(label=label, features=ids)
        is_dosed = attempt.dosing is not None and attempt.dosing.supernode == old
        clamp[new] = _clamp(each, is_dosed=is_dosed)
    added = with_parts(record.hypothesis, supernodes, {name: _intervention(attempt, clamp, names)})
    if attempt.n_controls:
        added = added.model_copy(update={"controls": Controls(random=attempt.n_controls)})
    watched = {each: ids for each, ids in groups.items() if each not in added.supernodes}
    by_hand = {new: spec.features or () for new, spec in supernodes.items()}
    return DeclaredAttempt(added, _alone(added, name, watched), {**by_hand, **watched})


def with_parts(
    hypothesis: Hypothesis,
    supernodes: Mapping[str, SupernodeSpec],
    interventions: Mapping[str, InterventionSpec],
) -> Hypothesis:
    """The hypothesis with supernodes and interventions added, or put in another's place."""
    update = {
        "supernodes": {**hypothesis.supernodes, **supernodes},
        "interventions": {**hypothesis.interventions, **interventions},
    }
    return hypothesis.model_copy(update=update)


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
    if not clamping.positions:
        return clamping.supernode
    taken = {*record.supernodes, *groups}
    return free_name(f"{clamping.supernode[:50]}_at_tokens", taken)


def _at_tokens(clamping: Clamping, record: Record, groups: Groups) -> tuple[str, ...]:
    if clamping.supernode in groups:
        members = [without_position(each) for each in groups[clamping.supernode]]
    else:
        refs = record.supernodes[clamping.supernode].features
        members = [f"{ref.layer}_{ref.index}" for ref in refs]
    unique = dict.fromkeys(members)
    positions = sorted(set(clamping.positions))
    return tuple(f"{feature}_{pos}" for pos in positions for feature in unique)


def _clamp(clamping: Clamping, *, is_dosed: bool) -> float | ClampSpec:
    """A dose multiplies something, so a dosed ablation takes what is here."""
    told: dict[str, object] = {"at": clamping.at, "onward": clamping.onward}
    unit, value = _UNITS[clamping.mode], clamping.factor
    told[unit] = 0.0 if clamping.mode == "ablate" else value
    if clamping.mode == "scale" or (clamping.mode == "ablate" and is_dosed):
        told["from"] = (HERE,)
    spec = ClampSpec.model_validate(told)
    short = spec.times is not None and spec == ClampSpec(times=spec.times)
    return spec.times if short and spec.times is not None else spec


def _intervention(
    attempt: Attempt, clamp: Mapping[str, float | ClampSpec], names: Mapping[str, str]
) -> InterventionSpec:
    dosing = attempt.dosing
    doses = dosing and Doses(
        of=names.get(dosing.supernode, dosing.supernode), factors=dosing.factors
    )
    return InterventionSpec(
        prompts=(attempt.prompt,),
        clamp=dict(clamp),
        freeze=attempt.freeze,
        expect=(_asked(attempt),),
        doses=doses,
        generate=Generation(tokens=attempt.n_tokens) if attempt.n_tokens else None,
    )


def _asked(attempt: Attempt) -> Probability | LogitDiff:
    """What is looked at; controls are drawn only where something is compared with them."""
    beats, above = (P, None) if attempt.n_controls else (None, 0.0)
    if len(attempt.measure) == 2:
        pair = (attempt.measure[0], attempt.measure[1])
        return LogitDiff(logit_diff=pair, beats_controls=beats, above=above)
    return Probability(probability=attempt.measure[0], beats_controls=beats, above=above)


def _alone(hypothesis: Hypothesis, name: str, watched: Groups) -> Hypothesis:
    studies = ("necessity", "mediation", "swaps", "circuit", "shared")
    supernodes = {each: SupernodeSpec(features=ids) for each, ids in watched.items()}
    update: dict[str, object] = {
        **{study: {} for study in studies},
        "graph": None,
        "interventions": {name: hypothesis.interventions[name]},
        "supernodes": {**hypothesis.supernodes, **supernodes},
    }
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
    clamp = long_form(given)
    unit, value = clamp.amount
    here = set(clamp.from_ or ()) == {HERE}
    modes: dict[str, Mode] = {"to": "set", "add": "add", "times": "scale" if here else "inject"}
    mode: Mode = "ablate" if (unit, value) == ("times", 0) else modes[unit]
    return Clamping(name, mode, float(value), at=clamp.at, onward=clamp.onward)
