"""One intervention on one prompt, as a test of it sees it, and why it may be untestable.

Where the model lacks the behaviour, nothing about its inside can be tested. So a prompt with an
answer must get it unclamped, and so must the prompts that a clamped supernode was found on (where
the rule goes toward the answer) and those that its activations come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tracer.evidence.wording import counted, exact, number
from tracer.hypothesis.clamps import Doses
from tracer.hypothesis.procedure import Family
from tracer.hypothesis.spec import PromptSpec
from tracer.hypothesis.template import render_token
from tracer.record.record import PromptRecord
from tracer.record.trials import ProcedureControl, Reading, Trial
from tracer.record.verdict import PromptOutcome

NOTHING = 1e-6
"""A write of a smaller norm is rounding: a feature set to its own value."""


@dataclass(frozen=True)
class ControlValues:
    """What matched clamps did on the same prompt."""

    tokens: tuple[str, ...]
    logits: Float[np.ndarray, "control token"]
    logsumexp: Float[np.ndarray, " control"]
    instead: tuple[str | None, ...] = ()
    """By control, the token that stands for the claimed one; () where none does."""

    attends: Float[np.ndarray, "_ weight"] = field(default_factory=lambda: np.zeros((0, 0)))
    """Weights of attention patterns, in the order of `Trial.attends`."""

    @property
    def n(self) -> int:
        """How many were drawn."""
        return len(self.logsumexp)

    def logit(self, token: str) -> Float[np.ndarray, " control"]:
        """One token's logit under each of them, in double precision."""
        return self.logits[:, self.tokens.index(token)].astype(np.float64)

    def log_probability(self, token: str) -> Float[np.ndarray, " control"]:
        """The natural logarithm of one token's probability under each of them."""
        return self.logit(token) - self.logsumexp.astype(np.float64)

    def some(self, rows: Sequence[int], instead: Sequence[str | None]) -> ControlValues:
        """Some of them, each with the token that stands for the claimed one, if any does."""
        mine = tuple(instead) if any(instead) else ()
        return ControlValues(self.tokens, self.logits[rows], self.logsumexp[rows], mine)

    def each(self) -> Iterator[tuple[str | None, ControlValues]]:
        """One by one, with the token that stands for the claimed one."""
        for n, token in enumerate(self.instead):
            yield token, self.some([n], [None])


NO_CONTROLS = ControlValues((), np.zeros((0, 0)), np.zeros(0))


@dataclass(frozen=True)
class Case:
    """Everything that a test of one trial may read."""

    declared: PromptSpec
    """As judged: its variables fill the tokens of an expectation."""
    prompt: PromptRecord
    trial: Trial
    controls: ControlValues
    """Random ones."""
    procedure: Mapping[Family, ControlValues]
    donors: Sequence[ProcedureControl]
    """Those of the family `donors`, in their order there."""
    """Those that the rule was made anew for."""
    doses: Doses | None
    """The dose series of the intervention."""
    seed: int
    """Of long dose series, whose orders are drawn."""
    n_asked: int
    """Random controls that the file asks for."""

    def token(self, written: str) -> str:
        """A token of an expectation, as it reads on this prompt."""
        return render_token(written, self.declared)

    def drawn(self) -> str:
        """How many random controls there are: '9 were drawn', or all that could be."""
        n = self.controls.n
        if 0 < n < self.n_asked:
            of = "heads or keys" if self.trial.patterns else "heads"
            return f"no more than {counted(n, 'other set')} of {of} exist{'s' if n == 1 else ''}"
        return f"{n} {'was' if n == 1 else 'were'} drawn"

    def too_few(self, needed: int, alpha: float) -> PromptOutcome:
        """The outcome where a p of `alpha` takes more random controls than there are."""
        are = "is" if needed == 1 else "are"
        asked = f"{counted(needed, 'control')} {are} needed for p ≤ {exact(alpha)}"
        return self.untested(f"{asked}; {self.drawn()}")

    @property
    def changes_nothing(self) -> bool:
        """Whether the clamps set every feature to what it is anyway."""
        changes = [clamp.write_norm for clamp in self.trial.clamps]
        changes += [each.moved for each in self.trial.patterns]
        return bool(changes) and max(changes) <= NOTHING

    def unclamped(self) -> Case:
        """The same as if nothing had been clamped: what holds here, the clamps do not show."""
        trial = self.trial
        activations = {
            name: trial.unclamped.get(name) or found.as_clean()
            for name, found in trial.supernodes.items()
        }
        written = trial.generated
        clean = self.prompt.baseline
        weights = {
            key: each.model_copy(update={"clamped": each.unclamped})
            for key, each in trial.attends.items()
        }
        same = {
            "reading": clean,
            "attends": weights,
            "supernodes": activations,
            "python": {key: each.as_unclamped() for key, each in trial.python.items()},
            "generated": written and written.model_copy(update={"clamped": written.clean}),
            "doses": tuple(dose.model_copy(update={"reading": clean}) for dose in trial.doses),
        }
        return replace(self, trial=trial.model_copy(update=same))

    def untested(self, reason: str) -> PromptOutcome:
        """The outcome of what cannot be judged."""
        return untested(self.trial.prompt, reason)

    def tested(
        self,
        *,
        held: bool,
        observed: str,
        value: float | None = None,
        p: float | None = None,
        least_p: float | None = None,
    ) -> PromptOutcome:
        """The outcome of a test that was made."""
        return PromptOutcome(
            prompt=self.trial.prompt,
            outcome="held" if held else "failed",
            observed=observed,
            value=value,
            p=p,
            least_p=least_p,
            reason=None,
        )


def untested(prompt: str, reason: str) -> PromptOutcome:
    """The outcome of a prompt on which nothing can be judged."""
    return PromptOutcome(
        prompt=prompt,
        outcome="untested",
        observed="not tested",
        value=None,
        p=None,
        reason=reason,
    )


def vacuous(outcome: PromptOutcome, reason: str) -> PromptOutcome:
    """What was observed, which could not have come out otherwise."""
    none = {"outcome": "vacuous", "reason": reason, "p": None, "least_p": None}
    return outcome.model_copy(update=none)


class Wording(NamedTuple):
    """How one expectation is written in a verdict."""

    measure: str
    """What is measured: 'top token'."""
    test: str
    """What it must be: '> 1.00'."""
    show: Callable[[float], str] = number
    """Writes the number that is tested."""
    alpha: float | None = None
    """What its p must not exceed; None where nothing is compared with a p."""


def log_probability(reading: Reading, token: str) -> float:
    """Natural logarithm of a token's probability, which also tells tiny ones apart."""
    top = reading.top[0]
    return reading.tokens[token].logit - (top.logit - math.log(top.probability))
