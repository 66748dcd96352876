"""One intervention on one prompt, as a Python expectation is given it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracer.record.trials import Activation, Generated, Reading, Trial


@dataclass(frozen=True)
class PromptTrial:
    """What was measured of one prompt under the clamps, beside the same prompt without them."""

    prompt: str
    """Its name."""
    text: str
    answer: str | None
    clamped: Reading
    """The output under the clamps: `top`, the ten most probable tokens, best first, and `tokens`,
    by text: the prompt's answer and what the expectation `reads`. Each has `logit`, `probability`
    and `rank`."""
    clean: Reading
    """The same without the clamps."""
    activations: Mapping[str, Activation]
    """By supernode, as shares of the clean activation and of that on its sources."""
    texts: tuple[str, ...]
    """What was written under the clamps, where texts are generated."""

    @classmethod
    def of(cls, text: str, answer: str | None, clean: Reading, trial: Trial) -> PromptTrial:
        """As it was measured."""
        written = _texts(trial.generated, clamped=True)
        return cls(
            trial.prompt, text, answer, trial.reading, clean, dict(trial.supernodes), written
        )

    @classmethod
    def unclamped(cls, text: str, answer: str | None, clean: Reading, trial: Trial) -> PromptTrial:
        """As if nothing had been clamped: what holds here as well, the clamps do not show."""
        written = _texts(trial.generated, clamped=False)
        return cls(trial.prompt, text, answer, clean, clean, dict(trial.unclamped), written)


def _texts(generated: Generated | None, *, clamped: bool) -> tuple[str, ...]:
    if generated is None:
        return ()
    return tuple(each.text for each in (generated.clamped if clamped else generated.clean))
